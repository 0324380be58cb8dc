"""A job's request on its way to the engine: with the files of its folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bodies.picture_header import picture_size
from ..errors import ApiError
from ..jobs.job_folder import PHOTOS_FOLDER
from ..request.normal_request import NormalRequest, normalised
from ..request.person_fields import Kept, PersonFields, Readers
from ..request.request_forms import given_of

__all__ = [
    "IDENTITY_SUFFIX",
    "files_of_request",
    "folder_request",
    "given_in_folder",
    "with_extracted",
]

IDENTITY_SUFFIX = ".pulidembd"

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_HEADER_BYTES = 64


@dataclass(frozen=True)
class _InFolder:
    """What came with the request, as it lies in the job's folder."""

    sha256: str
    width: int = 0
    height: int = 0


def files_of_request(
    request: NormalRequest, contents: Mapping[str, bytes]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of a new job by name: those that stay, and photos.

    Args:
        request: The job's.
        contents: What came along, by hash.
    """
    photos = {photo.sha256 for person in request.people for photo in person.photos}
    embeddings = {person.embedding.sha256 for person in request.people if person.embedding}
    others = {one.sha256 for several in request.pictures.values() for one in several}
    others |= {person.mask.sha256 for person in request.people if person.mask}
    files = {f"{sha256}{IDENTITY_SUFFIX}": contents[sha256] for sha256 in sorted(embeddings)}
    files |= {f"{sha256}.png": contents[sha256] for sha256 in sorted(others)}
    return files, {f"{sha256}.png": contents[sha256] for sha256 in sorted(photos)}


def folder_request(
    body: Mapping[str, Any], folder: Path, models: Mapping[str, Mapping[str, Any]], default: str
) -> NormalRequest:
    """The request that a job keeps, read back.

    Args:
        body: As `to_json` made it: what came along is named by its hash.
        folder: The job's.
        models, default: As for `normalised`.

    Raises:
        ApiError: A model that is not there any more, or what else `normalised` refuses.
    """

    def picture(value: Any, param: str) -> _InFolder:
        kept = _kept(value, param)
        try:
            with (folder / f"{kept.sha256}.png").open("rb") as file:
                size = picture_size(file.read(_HEADER_BYTES))
        except OSError:
            size = None
        return kept if size is None else _InFolder(kept.sha256, *size)

    readers = Readers(picture=picture, mask=_kept, photo=_kept, embedding=_kept)
    return normalised(body, models=models, default_model=default, readers=readers)


def _kept(value: Any, param: str) -> _InFolder:
    found = _HASH.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ApiError("invalid_value", f"{param} is no file of this job", param)
    return _InFolder(found[1])


def given_in_folder(request: NormalRequest) -> dict[str, Any]:
    """The request as a MakeCommand has it: files by their names in the job's folder.

    Args:
        request: Without photos: they are extracted before.
    """
    files = {one.sha256: f"{one.sha256}.png" for one in request.kept}
    for person in request.people:
        if person.embedding is not None:
            files[person.embedding.sha256] = f"{person.embedding.sha256}{IDENTITY_SUFFIX}"
    identities = {
        person.identity: f"{person.identity}{IDENTITY_SUFFIX}"
        for person in request.people
        if person.identity
    }
    return given_of(request, files, identities)


def photo_names(person: PersonFields) -> tuple[str, ...]:
    """A person's photos, relative to the job's folder."""
    return tuple(f"{PHOTOS_FOLDER}/{photo.sha256}.png" for photo in person.photos)


def with_extracted(request: NormalRequest, number: int, identity: Kept) -> NormalRequest:
    """The request with an identity in the place of a person's photos.

    So a job goes on after a restart, and can be made again, when its photos are gone.

    Args:
        request: The job's.
        number: Which person, from 0.
        identity: What was extracted.
    """
    person = request.people[number]
    options = {name: value for name, value in person.options.items() if name != "fusion"}
    person = replace(person, embedding=identity, photos=(), face=None, options=options)
    people = (*request.people[:number], person, *request.people[number + 1 :])
    return replace(request, people=people)
