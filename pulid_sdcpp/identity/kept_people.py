"""People whom the user keeps by name, in the user's data folder: what no cache may lose.

One identity file each, named as the person. Beside what every identity file has, it has

    person.added     when it was kept, UTC
    person.photos    names of the photos, as a JSON list
    person.preview   a small JPEG of the face, as an I8 tensor; optional
    person.recognisers, person.references
                     names of face recognisers, as a JSON list, and the numbers that each has for
                     the face: float32, little-endian, in an I8 tensor; optional
    person.faces     what was seen on each photo, as a JSON list of objects; optional

Readers of identity files ignore these. Identities for other models, made from the same photos, lie
in folders inside (`further_identities`). A file appears whole or not at all, and changes are made
under a lock, so any number of processes may use the folder. It is readable only by its owner.

The functions take another folder for the people of somebody else, as a server has them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IdentityFileError, ModelFileError, OutputExistsError, OutputFileError
from ..system.atomic_file import atomic_file, private_folder
from ..system.output_names import folded, unfit_name
from ..system.user_folders import data_folder
from ..tensors.file_bytes import FileBytes
from ..tensors.gguf_header import parse_gguf
from ..terminal_text import control_character, hint, reason_of, shown
from .encoder import FLUX, Encoder, encoder_words
from .further_identities import (
    further_files,
    further_path,
    have_same_photos,
    move_further,
    remove_further,
)
from .identity_file import MAX_HEADER_BYTES, Identity, identity_bytes
from .photo_files import PHOTO_SUFFIXES

__all__ = [
    "IDENTITY_SUFFIXES",
    "MAX_NAME_CHARS",
    "KeptPerson",
    "check_name_is_free",
    "check_person_name",
    "find_person",
    "keep_person",
    "kept_names",
    "kept_people",
    "kept_person",
    "people_files",
    "people_folder",
    "preview_in",
    "read_person",
    "remove_person",
    "rename_person",
]

LOGGER = logging.getLogger("pulid_sdcpp.kept_people")

MAX_NAME_CHARS = 100
IDENTITY_SUFFIXES = (".pulidembd", ".gguf")

_SUFFIX = IDENTITY_SUFFIXES[0]
_ADDED, _PHOTOS, _PREVIEW = "person.added", "person.photos", "person.preview"
_RECOGNISERS, _REFERENCES, _FACES = "person.recognisers", "person.references", "person.faces"
_SEPARATORS = "=,;:/\\"
"""Between the parts of --person and of a batch's cells."""
_LOCK_S = 30.0
_MAX_PREVIEW_BYTES = 1 << 20
_MAX_PHOTO_NAMES = 100
_MAX_REFERENCES_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class KeptPerson:
    """Somebody who is kept by name.

    Attributes:
        name: As the user wrote it; unique in any case.
        path: The file, an identity file.
        identity: What the engine takes.
        added: When it was kept, "2026-01-31T12:00:00Z"; "" if the file does not say.
        photos: Names of the photos it was made from, without folders; empty if that is not known.
        preview: A small JPEG of the face; empty if there is none.
        references: (n,) float32 that a face recogniser has for the face, by its name.
        faces: What was seen on each photo; empty if that is not known.
        encoders: Of all identities of this person, that of the person's own file first.
    """

    name: str
    path: Path
    identity: Identity = field(repr=False)
    added: str = ""
    photos: tuple[str, ...] = ()
    preview: bytes = field(default=b"", repr=False)
    references: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    faces: tuple[Mapping[str, Any], ...] = ()
    encoders: tuple[Encoder, ...] = (FLUX,)


def people_folder() -> Path:
    """The folder of the kept people; it may not exist yet.

    Raises:
        RuntimeError: The user has no home.
    """
    return data_folder() / "people"


def check_person_name(name: object) -> str:
    """The name, if somebody can be kept by it.

    Raises:
        ValueError: It is empty, too long, has characters that file names or --person cannot have,
            or looks like a file.
    """
    if not isinstance(name, str):
        raise ValueError(f"name {shown(name)}: expected text")
    reason = ""
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        reason = f"a name has 1 to {MAX_NAME_CHARS} characters"
    elif character := control_character(name):
        reason = f"it has the control character {character}"
    elif used := sorted(set(name) & set(_SEPARATORS)):
        reason = f"it has {' '.join(used)}"
    elif name[0] in "-~@":
        reason = f"it begins with {name[0]}"
    elif Path(name).suffix.lower() in (*PHOTO_SUFFIXES, *IDENTITY_SUFFIXES):
        reason = "it is the name of a file"
    else:
        reason = unfit_name(name + _SUFFIX) or (unfit_name(name) if name.strip() != name else "")
    if reason:
        raise ValueError(f"{shown(name)} cannot be the name of a kept person: {reason}")
    return name


def check_name_is_free(
    name: str,
    *,
    overwrite: bool = False,
    encoder: Encoder | None = None,
    folder: Path | None = None,
) -> None:
    """Refuse early, before minutes of work, a name that somebody could not be kept by.

    Args:
        name: The name.
        overwrite: Whether somebody of this name may be replaced.
        encoder: Of the identity, as far as that is known: who has none of this can have one more.
        folder: Where; None: the user's own people.

    Raises:
        ValueError, OutputExistsError: As `keep_person`.
    """
    check_person_name(name)
    with contextlib.suppress(RuntimeError):
        home = folder or people_folder()
        if (former := _path_of(name, home)) is None or overwrite:
            return
        with contextlib.suppress(IdentityFileError):
            if encoder is not None and encoder not in read_person(former).encoders:
                return
        raise _taken(former)


def keep_person(
    name: str,
    identity: Identity,
    *,
    photos: Sequence[str] = (),
    preview: bytes = b"",
    references: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    faces: Sequence[Mapping[str, Any]] = (),
    overwrite: bool = False,
    folder: Path | None = None,
) -> KeptPerson:
    """Keep somebody, or one more identity of somebody.

    Who is kept already can have another identity beside the first: of another encoder, made from
    the same photos.

    Args:
        name: 1 to 100 characters, see `check_person_name`.
        identity: It is written in float16, as `pulid-sdcpp extract` does, if that can hold it.
        photos: Names of the photos.
        preview: A small JPEG of the face.
        references: (n,) float32 by recogniser, all equally long.
        faces: What was seen on each photo, as JSON has it.
        overwrite: Whether somebody of this name may be replaced.
        folder: Where; None: the user's own people.

    Raises:
        ValueError: No such name is possible, or the preview is larger than 1 MiB.
        OutputExistsError: Somebody has this name, in any case, and `overwrite` is off; with an
            identity of this encoder, or of other photos.
        OutputFileError: The folder cannot be written to.
    """
    check_person_name(name)
    if len(preview) > _MAX_PREVIEW_BYTES:
        raise ValueError(f"the preview of {name} has {len(preview)} bytes; 1 MiB is the most")
    added = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = [Path(photo).name for photo in photos][:_MAX_PHOTO_NAMES]
    texts = {_ADDED: added}
    if names:
        texts[_PHOTOS] = json.dumps(names)
    arrays = {_PREVIEW: np.frombuffer(preview, np.int8)} if preview else {}
    if faces:
        texts[_FACES] = json.dumps([dict(one) for one in faces][:_MAX_PHOTO_NAMES])
    if references:
        texts[_RECOGNISERS] = json.dumps(list(references))
        numbers = np.stack([np.asarray(one, "<f4") for one in references.values()])
        arrays[_REFERENCES] = np.frombuffer(numbers.tobytes(), np.int8)
    try:
        content = identity_bytes(identity, "f16", texts, arrays)
    except ValueError:  # more than float16 can hold
        content = identity_bytes(identity, "f32", texts, arrays)
    with _locked(folder) as home:
        path = home / f"{name}{_SUFFIX}"
        former = _path_of(name, home)
        known = None if former is None else _known(former)
        same = known is not None and have_same_photos(known, identity)
        if former is not None and not overwrite:
            is_new = known is not None and identity.encoder not in _encoders(former, known)
            if not (same and is_new):
                raise _taken(former, identity.encoder if is_new else None)
        if former is not None and known is not None and same:
            if known.encoder != identity.encoder:
                further = further_path(former, identity.encoder)
                private_folder(further.parent, f"*{_SUFFIX}")
                with atomic_file(further, private=True) as file:
                    file.write(content)
                return _read(further, former)
            move_further(former, path)
        elif former is not None:
            remove_further(former)
        with atomic_file(path, private=True) as file:
            file.write(content)
        if former is not None and former.name != path.name and not os.path.samefile(former, path):
            former.unlink(missing_ok=True)  # the same name in another case
    return read_person(path)


def kept_names(folder: Path | None = None) -> tuple[str, ...]:
    """Names of all who are kept, in order; no file is read."""
    return tuple(path.stem for path in people_files(folder))


def kept_people(folder: Path | None = None) -> tuple[KeptPerson, ...]:
    """All who are kept, by name; a damaged file is logged and left out."""
    found = []
    for path in people_files(folder):
        try:
            found.append(read_person(path))
        except IdentityFileError as error:
            LOGGER.warning("%s", error)
    return tuple(found)


def find_person(name: str, folder: Path | None = None) -> Path | None:
    """The identity file of somebody who is kept, by the name in any case; None: nobody is."""
    with contextlib.suppress(RuntimeError):
        return _path_of(name, folder or people_folder())
    return None


def kept_person(name: str) -> KeptPerson:
    """Somebody who is kept, by the name in any case.

    Raises:
        IdentityFileError: Nobody has this name, and which may be meant; or the file is damaged.
    """
    path = find_person(name)
    if path is None:
        raise IdentityFileError(f"there is no kept person {shown(name)}{similar_name(name)}")
    return read_person(path)


def similar_name(name: str, folder: Path | None = None) -> str:
    """`; did you mean alice?`, or how to see who is kept."""
    known = kept_names(folder)
    if found := hint(name, known):
        return found
    return "; 'pulid-sdcpp people list' shows all" if known else "; no person is kept yet"


def rename_person(name: str, new_name: str, folder: Path | None = None) -> KeptPerson:
    """Give somebody who is kept another name.

    Raises:
        ValueError: No such name is possible.
        IdentityFileError: Nobody has the name.
        OutputExistsError: Somebody else has the new one.
        OutputFileError: The folder cannot be written to.
    """
    check_person_name(new_name)
    with _locked(folder) as home:
        path = _path_of(name, home)
        if path is None:
            raise IdentityFileError(
                f"there is no kept person {shown(name)}{similar_name(name, home)}"
            )
        other = _path_of(new_name, home)
        if other is not None and other != path:
            raise OutputExistsError(
                f"there is a kept person {other.stem}; choose another name, or remove "
                f"{other.stem} with 'pulid-sdcpp people rm'"
            )
        target = home / f"{new_name}{_SUFFIX}"
        move_further(path, target)
        path.rename(target)
    return read_person(target)


def remove_person(name: str, folder: Path | None = None) -> None:
    """Remove somebody who is kept.

    Raises:
        IdentityFileError: Nobody has the name.
        OutputFileError: The file cannot be removed.
    """
    with _locked(folder) as home:
        path = _path_of(name, home)
        if path is None:
            raise IdentityFileError(
                f"there is no kept person {shown(name)}{similar_name(name, home)}"
            )
        remove_further(path)
        path.unlink(missing_ok=True)


def people_files(folder: Path | None = None) -> list[Path]:
    """The files of all who are kept, by name."""
    try:
        return sorted(
            (
                path
                for path in (folder or people_folder()).glob(f"*{_SUFFIX}")
                if path.name[0] != "."
            ),
            key=lambda path: folded(path.stem),
        )
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return []


def _path_of(name: str, folder: Path) -> Path | None:
    wanted = folded(name)
    try:
        inside = sorted(folder.glob(f"*{_SUFFIX}"))
    except OSError:
        return None
    return next((path for path in inside if folded(path.stem) == wanted), None)


def _known(path: Path) -> Identity | None:
    """What is kept in a file; None: it is damaged."""
    try:
        return Identity.load(path)
    except IdentityFileError:
        return None


def _taken(former: Path, encoder: Encoder | None = None) -> OutputExistsError:
    """What to raise when somebody has a name.

    Args:
        former: The person's file.
        encoder: Of an identity that was made from other photos.
    """
    name = former.stem
    photos = (
        f" from other photos, so this one, by {encoder_words(encoder)}, is not put beside it"
        if encoder
        else ""
    )
    return OutputExistsError(
        f"there is a kept person {name}{photos}; choose another name, or replace {name} "
        "with --overwrite"
    )


@contextlib.contextmanager
def _locked(folder: Path | None) -> Iterator[Path]:
    """The folder, made if needed, while no other process changes it."""
    from filelock import FileLock, Timeout

    try:
        home = private_folder(folder or people_folder(), f"*{_SUFFIX}")
        with FileLock(home / ".lock", timeout=_LOCK_S):
            yield home
    except Timeout:
        raise OutputFileError(
            f"another process has been changing the kept people for {_LOCK_S:.0f} s; try again"
        ) from None
    except RuntimeError as error:  # a user without a home
        raise OutputFileError(f"no person can be kept: {error}; set PULID_SDCPP_DATA") from None
    except OSError as error:
        raise OutputFileError(
            f"cannot change the kept people in {folder or people_folder()}: {reason_of(error)}"
        ) from error


def preview_in(path: Path) -> bytes:
    """The small JPEG of the face in a kept person's file; empty: there is none.

    Raises:
        IdentityFileError: The file is damaged.
    """
    return _extras(path)[1][_PREVIEW]


def read_person(path: Path) -> KeptPerson:
    """What a file of the folder has.

    Raises:
        IdentityFileError: It is missing or damaged.
    """
    return _read(path, path)


def _read(path: Path, first: Path) -> KeptPerson:
    """What a file has of the person whose first identity is in another."""
    identity = Identity.load(path)
    texts, arrays = _extras(path)
    recognisers = _names(texts[_RECOGNISERS])
    numbers = np.frombuffer(arrays[_REFERENCES][: len(arrays[_REFERENCES]) // 4 * 4], "<f4")
    references: dict[str, NDArray[np.float32]] = {}
    if recognisers and numbers.size % len(recognisers) == 0 and np.isfinite(numbers).all():
        rows = numbers.astype(np.float32).reshape(len(recognisers), -1)
        references = dict(zip(recognisers, rows, strict=True))
    return KeptPerson(
        path.stem,
        path,
        identity,
        texts[_ADDED],
        _names(texts[_PHOTOS]),
        arrays[_PREVIEW],
        references,
        tuple(one for one in _list(texts[_FACES]) if isinstance(one, dict)),
        _encoders(first, identity if path == first else _known(first)),
    )


def _encoders(first: Path, identity: Identity | None) -> tuple[Encoder, ...]:
    """Of all identities of a person, with that in the person's file first."""
    own = () if identity is None else (identity.encoder,)
    return (*own, *(encoder for encoder in further_files(first) if encoder not in own))


def _extras(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Texts and bytes beside the identity; empty what is not there."""
    most = {_PREVIEW: _MAX_PREVIEW_BYTES, _REFERENCES: _MAX_REFERENCES_BYTES}
    try:
        with FileBytes(path, "a kept person") as content:
            header = parse_gguf(content, str(path), MAX_HEADER_BYTES)
            arrays = dict.fromkeys(most, b"")
            for name, max_bytes in most.items():
                if (info := header.tensors.get(name)) and info.nbytes <= max_bytes:
                    arrays[name] = bytes(content[info.offset : info.offset + info.nbytes])
    except ModelFileError as error:
        raise IdentityFileError(str(error)) from None
    found = {key: header.metadata.get(key) for key in (_ADDED, _PHOTOS, _RECOGNISERS, _FACES)}
    return {key: text if isinstance(text, str) else "" for key, text in found.items()}, arrays


def _names(text: str) -> tuple[str, ...]:
    names = _list(text)
    return tuple(names) if all(isinstance(name, str) for name in names) else ()


def _list(text: str) -> list[Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, list):
            return found
    return []
