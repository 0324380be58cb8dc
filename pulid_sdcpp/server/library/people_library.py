"""The people whom the owners of a server keep, each owner's apart.

    library = PeopleLibrary(settings.server_folder)
    library.find("rose", "alice").path      # for a job: an identity file

Everybody on a server without keys is "local", whose people are those of `pulid-sdcpp people`;
every other owner has a folder of the same form. All of it reads or writes a disk: call it in a
thread.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import IdentityFileError, OutputExistsError
from ...identity.identity_file import Identity
from ...identity.kept_people import (
    KeptPerson,
    find_person,
    keep_person,
    kept_names,
    people_files,
    preview_in,
    read_person,
    remove_person,
    rename_person,
)
from ...identity.photo_warning import PhotoWarning
from ...identity.store import entries_of_identity
from ...store.kept_files import find_of_person, remove_files
from ...system.output_names import folded, is_device_name
from ...terminal_text import hint, shown
from ..access.api_keys import LOCAL
from ..bodies.safe_names import name_of_person
from ..errors import ApiError

__all__ = ["LibraryPerson", "PeopleLibrary"]

_ID = re.compile(r"[0-9a-f]{10,64}")
_SHORT = 10


@dataclass(frozen=True)
class LibraryPerson:
    """Somebody whom an owner keeps.

    Attributes:
        id: `Identity.short_hash`.
        name: As the owner wrote it; "" for an identity that is in the cache only.
        path: An identity file, for the engine.
        sha256: `Identity.sha256`; `id` is its beginning.
        created: When it was kept, unix seconds; 0 if that is not known.
        photos: Names of the photos.
        weights_sha256: Of the weights it was made with; "" if that is not known.
        has_unconditional: Whether it has an unconditional identity.
        agreement: The lowest cosine between the faces of its photos; None: there was one photo.
        photo_warnings: What may be wrong with its photos.
        has_preview: Whether there is a picture of the face.
        references: What face recognisers have for the face, (n,) float32 by recogniser.
        faces: What was seen on each photo.
    """

    id: str
    name: str
    path: Path
    sha256: str
    created: float = 0.0
    photos: tuple[str, ...] = ()
    weights_sha256: str = ""
    has_unconditional: bool = False
    agreement: float | None = None
    photo_warnings: tuple[PhotoWarning, ...] = ()
    has_preview: bool = False
    references: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    faces: tuple[Mapping[str, Any], ...] = ()


class PeopleLibrary:
    """The people of all owners. For any number of threads.

    Args:
        server_folder: That of the settings.
    """

    def __init__(self, server_folder: Path) -> None:
        self._folder = server_folder / "people"
        self._read: dict[Path, tuple[Any, LibraryPerson]] = {}
        self._lock = threading.Lock()

    def folder(self, owner: str) -> Path | None:
        """Where an owner's people are; None: with the user's own. It may not exist yet."""
        if owner == LOCAL:
            return None
        # Names of owners may be "..", or what Windows has no file of; they have no comma or =.
        name = owner.replace(".", ",")
        return self._folder / (f"={name}" if is_device_name(name) else name)

    def names(self, owner: str) -> tuple[str, ...]:
        """The names of an owner's people, in order; no file is read."""
        return kept_names(self.folder(owner))

    def people(self, owner: str) -> tuple[LibraryPerson, ...]:
        """An owner's people, by name; damaged files are left out."""
        found = (self._person(path) for path in people_files(self.folder(owner)))
        return tuple(person for person in found if person is not None)

    def names_by_id(self, owner: str) -> dict[str, str]:
        """The names of an owner's people, by `Identity.short_hash`."""
        return {person.id: person.name for person in self.people(owner)}

    def count(self) -> int:
        """How many people all owners keep."""
        folders = [path for path in _entries(self._folder) if path.is_dir()]
        return len(kept_names()) + sum(len(people_files(folder)) for folder in folders)

    def find(self, owner: str, name_or_id: str, *, param: str = "identity") -> LibraryPerson:
        """Somebody of an owner's, by ten or more digits of the id, or by the name in any case.

        An id finds nobody who only is called so. For the owner "local" it also finds an identity
        of the cache, as `generate --from` does.

        Args:
            owner: Whose people.
            name_or_id: Whom.
            param: The field of the request, for errors.

        Raises:
            ApiError: "identity_not_found"; "bad_identity": the file is damaged.
        """
        wanted = name_or_id.strip().lower()
        is_id = _ID.fullmatch(wanted) is not None
        if is_id:
            alike = [one for one in self.people(owner) if one.sha256.startswith(wanted)]
            if alike:
                return max(alike, key=lambda one: one.has_unconditional)
        if (path := find_person(name_or_id.strip(), self.folder(owner))) is not None:
            person = self._person(path)
            if person is None:
                raise ApiError(
                    "bad_identity", f"{param}: the file of {shown(name_or_id)} is damaged", param
                )
            return person
        if is_id and owner == LOCAL:
            cached = [
                (path, identity)
                for path, identity in entries_of_identity(wanted[:_SHORT])
                if identity.sha256.startswith(wanted)
            ]
            if cached:
                best = max(cached, key=lambda one: one[1].uncond_tokens is not None)
                return _described("", *best)
        near = hint(name_or_id, self.names(owner))
        raise ApiError(
            "identity_not_found", f"{param}: nobody is kept as {shown(name_or_id)}{near}", param
        )

    def add(
        self,
        owner: str,
        identity: Identity,
        *,
        name: str = "",
        photos: Sequence[str] = (),
        preview: bytes = b"",
        references: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
        faces: Sequence[Mapping[str, Any]] = (),
        overwrite: bool = False,
    ) -> tuple[LibraryPerson, bool]:
        """Keep somebody; whose very face is kept already stays as it is, under its name.

        Only an identity with an unconditional part, which the kept one lacks, is kept beside it.

        Args:
            owner: Whose.
            identity: Of whom.
            name: "": the name that the same identity has, else its id.
            photos: Names of the photos.
            preview: A small JPEG of the face.
            references: What face recognisers have for the face.
            faces: What was seen on each photo.
            overwrite: Whether somebody else of this name may be replaced.

        Returns:
            The person, and whether it is new.

        Raises:
            ApiError: "invalid_value": no such name is possible. "name_taken": somebody else has it.
            OutputFileError: The folder cannot be written to.
        """
        if name:
            name_of_person(name, param="name")
        has_more = identity.uncond_tokens is not None
        same = [one for one in self.people(owner) if one.id == identity.short_hash]
        if not overwrite and same:
            named = [one for one in same if folded(one.name) == folded(name)]
            if named or not has_more or any(one.has_unconditional for one in same):
                return (named or same)[0], False
        name = name or identity.short_hash
        try:
            kept = keep_person(
                name,
                identity,
                photos=photos,
                preview=preview,
                references=references,
                faces=faces,
                overwrite=overwrite,
                folder=self.folder(owner),
            )
        except OutputExistsError:
            taken = find_person(name, self.folder(owner))
            person = None if taken is None else self._person(taken)
            if person is None or person.id != identity.short_hash:
                raise _taken(name) from None
            return person, False  # by another request meanwhile
        return _of_kept(kept), True

    def check_is_free(self, owner: str, name: str) -> None:
        """Refuse early, before minutes of work, a name that somebody could not be kept by.

        Raises:
            ApiError: "invalid_value", "name_taken".
        """
        name_of_person(name, param="name")
        if find_person(name, self.folder(owner)) is not None:
            raise _taken(name)

    def rename(self, owner: str, name_or_id: str, new_name: str) -> LibraryPerson:
        """Give somebody another name.

        Raises:
            ApiError: As `find`, and as `add`.
            OutputFileError: The folder cannot be written to.
        """
        name_of_person(new_name, param="name")
        person = self._kept(owner, name_or_id)
        try:
            return _of_kept(rename_person(person.name, new_name, self.folder(owner)))
        except OutputExistsError:
            raise _taken(new_name) from None
        except IdentityFileError:  # removed meanwhile
            raise _unknown(name_or_id) from None

    def remove(self, owner: str, name_or_id: str) -> LibraryPerson:
        """Forget somebody: the file with all in it, and what the cache has, unless somebody else
        keeps the same face.

        Returns:
            Who it was.

        Raises:
            ApiError: As `find`.
            OutputFileError: The file cannot be removed.
        """
        person = self._kept(owner, name_or_id)
        identity = Identity.load(person.path)
        try:
            remove_person(person.name, self.folder(owner))
        except IdentityFileError:
            raise _unknown(name_or_id) from None
        folders = [None, *(path for path in _entries(self._folder) if path.is_dir())]
        others = (self._person(path) for folder in folders for path in people_files(folder))
        if all(one is None or one.id != person.id for one in others):
            remove_files(find_of_person(identity))
        return person

    def preview(self, owner: str, name_or_id: str) -> bytes:
        """The small JPEG of somebody's face; empty: there is none.

        Raises:
            ApiError: As `find`.
        """
        path = self.find(owner, name_or_id).path
        with contextlib.suppress(IdentityFileError):
            return preview_in(path)
        return b""

    def _kept(self, owner: str, name_or_id: str) -> LibraryPerson:
        person = self.find(owner, name_or_id)
        if not person.name:  # in the cache only
            raise _unknown(name_or_id)
        return person

    def _person(self, path: Path) -> LibraryPerson | None:
        """Who is in a file; None: it is damaged, or gone. A file is read again when it changed."""
        try:
            state = path.stat()
        except OSError:
            return None
        signature = (state.st_mtime_ns, state.st_size, state.st_ino)
        with self._lock:
            known, person = self._read.get(path, (None, None))
        if known == signature:
            return person
        try:
            person = _of_kept(read_person(path))
        except IdentityFileError:
            return None
        with self._lock:
            self._read[path] = (signature, person)
        return person


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _of_kept(kept: KeptPerson) -> LibraryPerson:
    return _described(
        kept.name,
        kept.path,
        kept.identity,
        created=_unix(kept.added),
        photos=kept.photos,
        has_preview=bool(kept.preview),
        references=kept.references,
        faces=kept.faces,
    )


def _described(name: str, path: Path, identity: Identity, **more: Any) -> LibraryPerson:
    agreement = identity.metadata.get("agreement")
    return LibraryPerson(
        id=identity.short_hash,
        name=name,
        path=path,
        sha256=identity.sha256,
        weights_sha256=str(identity.metadata.get("weights_sha256", "")),
        has_unconditional=identity.uncond_tokens is not None,
        agreement=float(agreement) if isinstance(agreement, int | float) else None,
        photo_warnings=identity.photo_warnings,
        **more,
    )


def _unix(added: str) -> float:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(added.replace("Z", "+00:00")).timestamp()
    return 0.0


def _taken(name: str) -> ApiError:
    return ApiError(
        "name_taken", f"name: somebody is kept as {shown(name)}; choose another", "name"
    )


def _unknown(name_or_id: str) -> ApiError:
    return ApiError("identity_not_found", f"nobody is kept as {shown(name_or_id)}", None)
