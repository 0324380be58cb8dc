"""Jobs that measure how much a picture is like the people in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import PulidError
from ..errors import ApiError
from ..jobs.jobs import Job
from ..library.library_person import LibraryPerson
from ..library.likeness import KnownFace, likeness_json, mean_reference
from ..library.picture_facts import PictureFactsCache

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["ScoreWork"]


class ScoreWork:
    """Measures pictures; `service.do("score", ScoreWork(service).score)`.

    Args:
        service: The server.
    """

    def __init__(self, service: PictureService) -> None:
        self._service = service
        self._facts = PictureFactsCache()
        self._of_previews: dict[tuple[Path, float], Mapping[str, Any]] = {}

    async def score(self, job: Job) -> Mapping[str, Any]:
        """Measure the picture of a job of the kind "score".

        Returns:
            As `likeness_json`.

        Raises:
            ApiError: "not_found": the picture was removed.
            Exception: As `FaceLooks.recognise`.
        """
        return await self.measure(str(job.request["picture"]), job.owner)

    async def measure(self, picture: str, owner: str) -> Mapping[str, Any]:
        """Measure a picture, at once.

        Args:
            picture: Its id.
            owner: Whose it is, and whose people count.
        """
        _, _, path = self._service.picture(picture, owner)
        facts = await asyncio.to_thread(self._facts.facts, picture, path)
        ids = () if facts is None else facts.people
        return await self.measure_file(path, ids, owner)

    async def measure_file(self, path: Path, ids: Sequence[str], owner: str) -> Mapping[str, Any]:
        """Measure a file.

        Args:
            path: The picture.
            ids: Who is meant to be in it.
            owner: Whose people count.
        """
        looked_at, names = await self._service.looks.recognise(path)
        everybody = await self._known(owner)
        known = {one.id: one for one in everybody}
        return likeness_json(
            [face.embeddings for face in looked_at.faces],
            [
                known.get(one) or KnownFace(one, self._service.looks.remembered(owner, one))
                for one in ids
            ],
            everybody,
            recogniser=names.own,
            judge=names.judge,
        )

    async def _known(self, owner: str) -> list[KnownFace]:
        """Everybody whom an owner keeps, each face once."""
        people = await asyncio.to_thread(self._service.people.people, owner)
        found: dict[str, KnownFace] = {}
        for person in people:
            if person.id not in found or not found[person.id].references:
                references = person.references or await self._of_preview(owner, person)
                found[person.id] = KnownFace(person.id, references)
        return list(found.values())

    async def _of_preview(self, owner: str, person: LibraryPerson) -> Mapping[str, Any]:
        """References of somebody who was kept by a command: of the small picture of the face."""
        if not person.has_preview:
            return {}
        key = (person.path, person.created)
        if key not in self._of_previews:
            references: Mapping[str, Any] = {}
            with contextlib.suppress(PulidError, ApiError):
                preview = await asyncio.to_thread(self._service.people.preview, owner, person.name)
                looked_at, _ = await self._service.looks.recognise(preview, "largest")
                face = looked_at.faces[looked_at.chosen or 0]
                references = mean_reference([face.embeddings])
            self._of_previews[key] = references
        return self._of_previews[key]
