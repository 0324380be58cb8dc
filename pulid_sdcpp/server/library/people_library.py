"""The people whom the owners of a server keep, each owner's apart.

    library = PeopleLibrary(settings.server_folder)
    library.find("rose", "alice").path      # for a job: an identity file

Everybody on a server without keys is "local", whose people are those of `pulid-sdcpp people`;
every other owner has a folder of the same form. Somebody may have several identities, one for each
kind of model: `find` finds the person by any of them, `identity_for` the one that a model takes.
All of it reads or writes a disk: call it in a thread.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import IdentityFileError, OutputExistsError
from ...identity.encoder import Encoder, encoder_words, models_of_encoder
from ...identity.further_identities import further_files, further_identities
from ...identity.identity_file import Identity
from ...identity.kept_people import (
    find_person,
    keep_person,
    kept_names,
    people_files,
    preview_in,
    read_person,
    remove_person,
    rename_person,
)
from ...identity.store import entries_of_identity
from ...store.kept_files import find_of_person, remove_files
from ...system.output_names import folded, is_device_name
from ...terminal_text import alternatives, hint, shown
from ..access.api_keys import LOCAL
from ..bodies.safe_names import name_of_person
from ..errors import ApiError
from .library_person import (
    IdentityOfPerson,
    LibraryPerson,
    library_person,
    library_person_of,
    photos_sha256_of,
)

__all__ = ["PeopleLibrary"]

_ID = re.compile(r"[0-9a-f]{10,64}")
_SHORT = 10


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
        """The names of an owner's people, by `Identity.short_hash` of each of their identities."""
        return {id_: person.name for person in self.people(owner) for id_ in person.ids}

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
            alike = [
                (identity.has_unconditional, person)
                for person in self.people(owner)
                for identity in person.identities
                if identity.sha256.startswith(wanted)
            ]
            if alike:
                return max(alike, key=lambda one: one[0])[1]
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
                return library_person_of("", *best)
        near = hint(name_or_id, self.names(owner))
        raise ApiError(
            "identity_not_found", f"{param}: nobody is kept as {shown(name_or_id)}{near}", param
        )

    def identity_for(
        self,
        owner: str,
        name_or_id: str,
        encoders: Sequence[str],
        *,
        model: str,
        param: str = "identity",
    ) -> tuple[LibraryPerson, IdentityOfPerson]:
        """Somebody of an owner's, and the identity that a model takes.

        Args:
            owner, name_or_id, param: As for `find`.
            encoders: Whose identities the model takes; none: it is not known, or it takes none, and
                the first is given.
            model: Its name, for errors.

        Raises:
            ApiError: As `find`; "invalid_value": the person is kept for other models only.
        """
        person = self.find(owner, name_or_id, param=param)
        fitting = [one for one in person.identities if not encoders or one.encoder in encoders]
        if not fitting:
            name = shown(person.name or name_or_id)
            kept_for = alternatives(list(map(models_of_encoder, person.encoders)))
            wanted = alternatives(list(map(models_of_encoder, encoders)))
            raise ApiError(
                "invalid_value",
                f"{param}: {name} is kept for {kept_for}, but {shown(model)} needs an identity for "
                f"{wanted}; add the same photos once more by the same name, with {shown(model)} as "
                "the model, or choose another model",
                param,
            )
        wanted_id = name_or_id.strip().lower()
        meant = [one for one in fitting if _is_meant(one, wanted_id)]
        return person, (meant or fitting)[0]

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

        An identity for other models, made of the same photos, is put beside the first one of who
        is called so, or of whoever was made of these photos. Only an identity with an unconditional
        part, which the kept one lacks, is kept a second time.

        Args:
            owner: Whose.
            identity: Of whom.
            name: "": the name that the same identity, or one of the same photos, has, else its id.
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
        people = self.people(owner)
        same = [one for one in people if identity.short_hash in one.ids]
        if not overwrite and same:
            named = [one for one in same if folded(one.name) == folded(name)]
            if named or not has_more or any(_is_whole(one, identity.short_hash) for one in same):
                return (named or same)[0], False
        photos_sha256 = photos_sha256_of(identity)
        if not name and photos_sha256:
            of_photos = [
                one.name
                for one in people
                if one.photos_sha256 == photos_sha256 and identity.encoder not in one.encoders
            ]
            name = of_photos[0] if of_photos else ""
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
            if person is None or identity.short_hash not in person.ids:
                is_new = person is not None and identity.encoder not in person.encoders
                raise _taken(name, identity.encoder if is_new else None) from None
            return person, False  # by another request meanwhile
        path = find_person(name, self.folder(owner))  # whose first identity may be another
        person = None if path is None else self._person(path)
        return library_person(kept) if person is None else person, True

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
            return library_person(rename_person(person.name, new_name, self.folder(owner)))
        except OutputExistsError:
            raise _taken(new_name) from None
        except IdentityFileError:  # removed meanwhile
            raise _unknown(name_or_id) from None

    def remove(self, owner: str, name_or_id: str) -> LibraryPerson:
        """Forget somebody: the files of all identities with all in them, and what the cache has,
        unless somebody else keeps the same face.

        Returns:
            Who it was.

        Raises:
            ApiError: As `find`.
            OutputFileError: The file cannot be removed.
        """
        person = self._kept(owner, name_or_id)
        identities = [Identity.load(person.path), *further_identities(person.path)]
        try:
            remove_person(person.name, self.folder(owner))
        except IdentityFileError:
            raise _unknown(name_or_id) from None
        folders = [None, *(path for path in _entries(self._folder) if path.is_dir())]
        others = [self._person(path) for folder in folders for path in people_files(folder)]
        still = {id_ for one in others if one is not None for id_ in one.ids}
        for identity in identities:
            if identity.short_hash not in still:
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
        """Who is in a file, with the identities beside it; None: it is damaged, or gone. Files are
        read again when one of them changed."""
        try:
            states = [one.stat() for one in (path, *further_files(path).values())]
        except OSError:
            return None
        signature = [(state.st_mtime_ns, state.st_size, state.st_ino) for state in states]
        with self._lock:
            known, person = self._read.get(path, (None, None))
        if known == signature:
            return person
        try:
            person = library_person(read_person(path))
        except IdentityFileError:
            return None
        with self._lock:
            self._read[path] = (signature, person)
        return person


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _is_meant(one: IdentityOfPerson, wanted: str) -> bool:
    return _ID.fullmatch(wanted) is not None and one.sha256.startswith(wanted)


def _is_whole(person: LibraryPerson, id_: str) -> bool:
    return any(one.id == id_ and one.has_unconditional for one in person.identities)


def _taken(name: str, encoder: Encoder | None = None) -> ApiError:
    """What to raise when somebody has a name.

    Args:
        encoder: Of an identity that was made from other photos.
    """
    what = "choose another"
    if encoder is not None:
        what = (
            f"from other photos, so this identity, by {encoder_words(encoder)}, is not put beside "
            "it; give the same photos, or choose another name"
        )
        return ApiError("name_taken", f"name: somebody is kept as {shown(name)} {what}", "name")
    return ApiError("name_taken", f"name: somebody is kept as {shown(name)}; {what}", "name")


def _unknown(name_or_id: str) -> ApiError:
    return ApiError("identity_not_found", f"nobody is kept as {shown(name_or_id)}", None)
