"""What a user names where a person is asked for: a kept name, a photo, an identity file, a folder.

A text with a separator (`./alice`), with `~` or a dot at its beginning, or with the suffix of a
photo or an identity file is a path. Any other is the name of somebody who is kept; if nobody has
it, it is a path, too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import IdentityFileError, ImageFileError
from ..system.user_folders import with_home
from ..terminal_text import shown
from .kept_people import IDENTITY_SUFFIXES, find_person, similar_name
from .photo_files import PHOTO_SUFFIXES, photos_in

__all__ = ["NamedPerson", "is_path", "named_identity", "named_person", "named_photos"]

_SUFFIXES = (*PHOTO_SUFFIXES, *IDENTITY_SUFFIXES)


@dataclass(frozen=True)
class NamedPerson:
    """Whom a text names.

    Attributes:
        name: The kept name, or the file's or the folder's without its suffix.
        files: An identity file, or photos.
        is_kept: Whether it is somebody who is kept.
    """

    name: str
    files: tuple[Path, ...]
    is_kept: bool = False


def is_path(text: str) -> bool:
    """Whether a text can be nothing but a path."""
    return (
        text[:1] in (".", "~")
        or any(separator in text for separator in "/\\")
        or Path(text).suffix.lower() in _SUFFIXES
    )


def named_person(named: str | os.PathLike[str], folder: Path = Path()) -> NamedPerson:
    """Whom a text or a path names; files are not read.

    Args:
        named: A path, or a text, see the module.
        folder: What relative paths are relative to.

    Raises:
        ImageFileError: There is no such file, or the folder has no photos.
        IdentityFileError: A text names neither somebody who is kept nor a file.
        ValueError: The text is empty, or has the `~` of a user without a home.
    """
    if not os.fspath(named).strip():
        raise ValueError(f"{shown(os.fspath(named))} is neither a photo nor the name of a person")
    may_be_name = isinstance(named, str) and not is_path(named)
    if may_be_name and (kept := find_person(os.fspath(named))) is not None:
        return NamedPerson(kept.stem, (kept,), is_kept=True)
    path = folder / with_home(named)
    if os.path.isdir(path):
        return NamedPerson(path.absolute().name, photos_in(path))
    if may_be_name and not os.path.exists(path):
        raise IdentityFileError(
            f"{shown(os.fspath(named))}: there is no such file, and no kept person of this name"
            f"{similar_name(os.fspath(named))}"
        )
    return NamedPerson(path.stem, (path,))


def named_photos(photos: Any) -> Any:
    """Photos as `PulidPipeline.enroll` takes them, with kept names and folders as their files.

    Raises:
        As `named_person`.
    """
    several = list(photos) if isinstance(photos, list | tuple) else [photos]
    found: list[Any] = []
    for photo in several:
        if isinstance(photo, str | os.PathLike):
            named = named_person(photo)
            if named.is_kept or os.path.isdir(with_home(photo)):
                found += named.files
                continue
        found.append(photo)
    return found if isinstance(photos, list | tuple) or len(found) > 1 else found[0]


def named_identity(named: str) -> Path:
    """The identity file that a text names.

    Raises:
        IdentityFileError: It names neither somebody who is kept nor a file.
    """
    try:
        return named_person(named).files[0]
    except ImageFileError as error:  # a folder
        raise IdentityFileError(str(error)) from None
