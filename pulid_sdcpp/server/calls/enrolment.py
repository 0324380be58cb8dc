"""From photos or an identity file to a person whom an owner keeps."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import FaceNotFoundError, ImageFileError, PulidError
from ...extraction.face_looker import LookedAt
from ...identity.face_choice import FaceChoice
from ...identity.fusion import DEFAULT_FUSION
from ...identity.identity_file import Identity
from ...pictures.face_thumbnail import face_thumbnail
from ...system.image_file import read_image
from ...system.output_names import folded
from ...terminal_text import meant, shown
from ..engine.engine_messages import ExtractCommand
from ..errors import ApiError
from ..jobs.job_folder import PHOTOS_FOLDER
from ..jobs.jobs import Job
from ..library.library_person import LibraryPerson
from ..library.likeness import mean_reference
from ..request.person_fields import PersonFields
from ..request.photo_error import photo_error

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["EnrolmentWork", "begin_enrolment", "keep_embedding", "kept_already"]

LOGGER = logging.getLogger("pulid_sdcpp.server")

_TARGET = "identity.pulidembd"


def kept_already(person: LibraryPerson, is_new: bool, name: str) -> list[dict[str, Any]]:
    """What is said where somebody is kept under another name than was asked for."""
    if is_new or not name or folded(person.name) == folded(name):
        return []
    message = f"this person is kept already, as {shown(person.name)}"
    return [{"code": "kept_already", "field": "name", "message": message}]


def keep_embedding(
    service: PictureService, owner: str, content: bytes, name: str
) -> tuple[LibraryPerson, bool]:
    """Keep the person of an identity file; in a thread.

    Args:
        content: The file, checked.
        name: Of the person; "": its id.

    Returns:
        The person, and whether it is new.

    Raises:
        ApiError: As `PeopleLibrary.add`.
    """
    return service.people.add(owner, Identity.from_bytes(content), name=name)


async def begin_enrolment(
    service: PictureService,
    owner: str,
    person: PersonFields,
    contents: Mapping[str, bytes],
    *,
    name: str = "",
    model: str = "",
    client: str = "own",
    synchronous: bool = False,
) -> Job:
    """Accept photos of a person; the job makes an identity of them, and the owner keeps it.

    Args:
        owner: Whose the person will be.
        person: With photos; and which face, and how they are fused.
        contents: The photos by their hash, as PNG.
        name: Of the person; "": the id.
        model: For which the identity is; "": the server's own. Somebody who is kept for other
            models has one more identity then, if the photos are the same.
        client, synchronous: As for `PictureService.submit`.

    Raises:
        ApiError: "invalid_value": no such name is possible. "name_taken": somebody who was made of
            other photos has it. "model_not_found". Or as `PictureService.submit_other`.
    """
    photos = [photo.sha256 for photo in person.photos]
    if model and model not in (models := await asyncio.to_thread(service.models.settings)):
        text = f"there is no model {shown(model)}; {meant(model, models)}"
        raise ApiError("model_not_found", text, "model")
    if name:
        await asyncio.to_thread(_check_name, service, owner, name, photos)
    face = person.face
    request = {
        "name": name,
        "photos": [f"sha256:{sha256}" for sha256 in photos],
        "face": list(face) if isinstance(face, tuple) else "largest" if face is None else face,
        "fusion": person.options.get("fusion", DEFAULT_FUSION),
        "model": model or service.models.default,
    }
    return await service.submit_other(
        "extract",
        owner,
        request,
        photos={f"{sha256}.png": contents[sha256] for sha256 in photos},
        client=client,
        synchronous=synchronous,
        title=name,
    )


def _check_name(service: PictureService, owner: str, name: str, photos: Sequence[str]) -> None:
    """Refuse now what would be refused after the extraction; the same photos may come again."""
    try:
        service.people.check_is_free(owner, name)
    except ApiError as error:
        if error.code != "name_taken":
            raise
        known = Identity.load(service.people.find(owner, name).path)
        if str(known.metadata.get("source_sha256", "")).split(",") != list(photos):
            raise


@dataclass(frozen=True)
class _Seen:
    """What was seen on the photos."""

    faces: tuple[Mapping[str, Any], ...] = ()
    references: Mapping[str, Any] = field(default_factory=dict)
    preview: bytes = b""


class EnrolmentWork:
    """Does the jobs that `begin_enrolment` accepts.

    Args:
        service: The server.
    """

    def __init__(self, service: PictureService) -> None:
        self._service = service

    async def keep(self, job: Job) -> Mapping[str, Any]:
        """Do a job.

        Returns:
            The person's `id`, whether it is `new`, and `warnings`.

        Raises:
            As it failed.
        """
        service = self._service
        folder = service.book.store.folder(job.id)
        names = [str(one).removeprefix("sha256:") for one in job.request["photos"]]
        files = [f"{PHOTOS_FOLDER}/{sha256}.png" for sha256 in names]
        asked = job.request["face"]
        face: Any = tuple(asked) if isinstance(asked, list) else asked
        model = str(job.request.get("model", ""))
        if model not in service.models.settings():
            model = service.models.default
        command = ExtractCommand(
            job=job.id,
            folder=str(folder),
            model=service.models.choice(model),
            files=tuple(files),
            face=face,
            fusion=job.request["fusion"],
            target=_TARGET,
        )
        try:
            found = await service.runner.run(job, command)
        except (FaceNotFoundError, ImageFileError) as error:
            raise photo_error(error, files, person=0, people=1) from error
        seen = await self._look([folder / name for name in files], face)
        person, is_new = await asyncio.to_thread(self._keep, job, folder / _TARGET, seen)
        service.changed("identity", job.owner, id=person.id)
        warnings = [*found.get("photo_warnings", ()), *kept_already(person, is_new, job.title)]
        return {"id": person.id, "new": is_new, "warnings": warnings}

    async def _look(self, photos: Sequence[Path], face: FaceChoice) -> _Seen:
        """What is kept beside the identity; without it, the person is kept all the same."""
        looks: list[LookedAt] = []
        try:
            for photo in photos:
                looked_at, _ = await self._service.looks.recognise(photo, face)
                looks.append(looked_at)
        except (PulidError, ApiError) as error:
            LOGGER.warning("a person is kept without reference numbers: %s", type(error).__name__)
            return _Seen()
        chosen = [look.faces[look.chosen or 0] for look in looks]
        preview = b""
        if self._service.settings.thumbnails:
            preview = await asyncio.to_thread(_thumbnail, photos[0], chosen[0].place)
        return _Seen(
            tuple(_described(look) for look in looks),
            mean_reference([one.embeddings for one in chosen]),
            preview,
        )

    def _keep(self, job: Job, path: Path, seen: _Seen) -> tuple[LibraryPerson, bool]:
        identity = Identity.load(path)
        kept = self._service.people.add(
            job.owner,
            identity,
            name=str(job.request.get("name", "")),
            photos=[f"photo-{number}" for number in range(1, len(job.request["photos"]) + 1)],
            preview=seen.preview,
            references=seen.references,
            faces=seen.faces,
        )
        os.unlink(path)  # forgetting the person leaves no copy here
        return kept


def _described(look: LookedAt) -> dict[str, Any]:
    face = look.faces[look.chosen or 0]
    return {
        "width": look.width,
        "height": look.height,
        "face": {
            "number": face.number,
            "box": [round(side, 1) for side in face.place],
            "score": round(face.score, 4),
            "of": len(look.faces),
        },
    }


def _thumbnail(photo: Path, place: Sequence[float]) -> bytes:
    left, top, width, height = place
    try:
        return face_thumbnail(read_image(photo), [left, top, left + width, top + height])
    except (ImageFileError, ValueError):  # it is only for looking at
        return b""
