"""A person, named by a photo, an identity file, a kept name or a hash, and what the cache has."""

from __future__ import annotations

from pathlib import Path

from ...system.user_folders import with_home
from ...terminal_text import reason_of, shown

__all__ = ["files_of_person"]


def files_of_person(person: str) -> list[Path]:
    """The cache's files that are made from somebody's face.

    Raises:
        ValueError: Neither a file, nor a kept person, nor the hash of an identity.
        ImageFileError, IdentityFileError: The file cannot be read.
    """
    from ...errors import ImageFileError
    from ...identity.identity_file import Identity, is_identity_file
    from ...identity.kept_people import find_person, similar_name
    from ...identity.named_person import named_person
    from ...identity.store import find_identity
    from ...store.kept_files import find_of_person
    from ...system.file_hash import file_sha256

    named = named_person(person) if find_person(person) is not None else None
    path = with_home(person) if named is None else named.files[0]
    if is_identity_file(path):
        return find_of_person(Identity.load(path))
    if path.exists():
        try:
            return find_of_person(None, file_sha256(path))
        except OSError as error:
            raise ImageFileError(f"{path}: cannot be read: {reason_of(error)}") from error
    try:
        identity = find_identity(person)
    except ValueError:
        raise ValueError(
            f"{shown(person)} is neither a photo, nor an identity file, nor the hash of an "
            f"identity, nor a kept person{similar_name(person)}"
        ) from None
    return [] if identity is None else find_of_person(identity)
