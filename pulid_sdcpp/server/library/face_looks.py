"""What is seen on pictures with the networks of the server's model."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import named, option_error
from ...extraction.face_looker import LookedAt, recogniser_name
from ...extraction.files import extraction_files
from ...identity.face_choice import FaceChoice
from ...pocket.pack import pocket_files
from ...store.model_store import ModelStore
from ...system.user_folders import with_home
from ...terminal_text import shown
from ..errors import ApiError
from .face_client import FaceClient
from .served_models import ServedModels

__all__ = ["FaceLooks", "Recognisers"]

_MAX_PASSING = 200

_MAX_WAITING = 32


@dataclass(frozen=True)
class Recognisers:
    """Names of the networks that recognise faces, see `recogniser_name`.

    Attributes:
        own: The one that extraction uses.
        judge: One that it never uses; "": there is none.
    """

    own: str
    judge: str = ""


class FaceLooks:
    """Finds faces, and asks recognisers about them, in a process beside the server's.

    Args:
        models: The models there are; the networks are those of the default one.
        judge: A recogniser's file; None: that of the model, if it has one.
        client: Who looks.

    Raises:
        ValueError: The judge is no file.
    """

    def __init__(
        self,
        models: ServedModels,
        judge: str | os.PathLike[str] | None = None,
        client: FaceClient | None = None,
    ) -> None:
        self._models = models
        self._judge = None if judge is None else with_home(judge)
        if self._judge is not None and not self._judge.is_file():
            found = shown(os.fspath(self._judge))
            raise option_error(f"{named('judge')} is {found}, but must be a recogniser's file")
        self._client = client or FaceClient()
        self._waiting = 0
        self._known: dict[tuple[str, str], Path] = {}
        self._passing: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def find(self, picture: bytes | Path) -> LookedAt:
        """The faces of a picture, if it has any.

        Raises:
            ApiError: "queue_full": too many pictures wait to be looked at.
            ModelFileError: The detector is not there.
            MissingDependencyError: The extra [extract] is not installed.
            Exception: As `FaceClient.look`.
        """
        detector = await asyncio.to_thread(lambda: self._file("detector"))
        with self._one_more():
            return await self._client.look(picture, detector)

    async def recognise(
        self, picture: bytes | Path, choice: FaceChoice | None = None
    ) -> tuple[LookedAt, Recognisers]:
        """The faces of a picture, with what recognisers have for them.

        Args:
            picture: A file's bytes, or its path.
            choice: Of the only face that recognisers are asked about; None: about all.

        Raises:
            FaceNotFoundError: A face is chosen that is not there.
            Exception: As `find`.
        """
        detector, own, judge, names = await asyncio.to_thread(self._networks)
        recognisers = (own,) if judge is None else (own, judge)
        with self._one_more():
            return await self._client.look(picture, detector, recognisers, choice), names

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        """Count who waits: each holds a photo in memory."""
        if self._waiting >= _MAX_WAITING:
            text = f"{_MAX_WAITING} photos wait to be looked at; try again"
            raise ApiError("queue_full", text, headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def remember(self, owner: str, person: str, references: Mapping[str, Any]) -> None:
        """Know how somebody looks who is not kept, as long as the server runs.

        Args:
            owner: Whose photos those were.
            person: `Identity.short_hash`.
            references: As of `mean_reference`.
        """
        self._passing[owner, person] = references
        while len(self._passing) > _MAX_PASSING:
            self._passing.pop(next(iter(self._passing)))

    def remembered(self, owner: str, person: str) -> Mapping[str, Any]:
        """What `remember` was told; empty: nothing."""
        return self._passing.get((owner, person), {})

    async def close(self) -> None:
        """End the process."""
        await self._client.close()

    def _networks(self) -> tuple[Path, Path, Path | None, Recognisers]:
        own, judge = self._file("recogniser"), self._judge_file()
        name = "" if judge is None else recogniser_name(judge)
        return self._file("detector"), own, judge, Recognisers(recogniser_name(own), name)

    def _file(self, role: str) -> Path:
        """A network of the default model; known ones are not searched again."""
        choice = self._models.choice(self._models.default)
        key = (choice.preset, role)
        if (known := self._known.get(key)) is not None and known.is_file():
            return known
        if role == "judge":
            found = pocket_files().judge
        else:
            found = extraction_files(choice.preset, choice.models_dirs, (role,))[role]
        self._known[key] = found
        return found

    def _judge_file(self) -> Path | None:
        if self._judge is not None:
            return self._judge
        choice = self._models.choice(self._models.default)
        if not choice.preset:
            return None
        is_packaged = ModelStore(choice.models_dirs).registry.preset(choice.preset).packaged
        return self._file("judge") if is_packaged else None
