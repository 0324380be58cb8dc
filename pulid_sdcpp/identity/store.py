"""Identities in the user's cache folder: found by what they were made of, or by their hash.

One identity file each, named HASH-KEY.pulidembd: the hash is `Identity.short_hash`. Any number of
threads and processes may use the folder: a file appears whole or not at all. A checksum in it
tells a damaged file, which counts as none. Whatever is wrong with the folder, it is as if it were
empty.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import IdentityFileError, OutputFileError
from ..system.atomic_file import private_folder
from ..system.regular_file import open_regular
from ..system.user_folders import cache_folder
from ..terminal_text import shown
from . import hashes
from .encoder import ENCODERS
from .identity_file import Identity
from .kept_people import people_folder

__all__ = [
    "entries_of_identity",
    "entries_of_photo",
    "find_entry",
    "find_identity",
    "keep_identity",
    "store_folder",
    "write_entry",
]

LOGGER = logging.getLogger("pulid_sdcpp.identity_store")

_SUFFIX = ".pulidembd"
_CHECKSUM = "cache_checksum"
"""Metadata of a file in the folder: a hash of all else that is in it."""
_HASH_DIGITS = 10
"""Of `Identity.short_hash`."""


def store_folder() -> Path | None:
    """The folder, made when it is not there; None where that cannot be."""
    try:
        # Not for others to read: it is as private as the photos behind it.
        return private_folder(cache_folder() / "identities", f"*{_SUFFIX}")
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        _warn_once(f"identities are not kept: {error}")
        return None


def find_entry(folder: Path | None, key: str) -> Identity | None:
    """What was kept under a key; None when there is nothing, or it is damaged.

    Args:
        folder: As `store_folder` gives it.
        key: Letters and digits.
    """
    for path in () if folder is None else sorted(folder.glob(f"*-{key}{_SUFFIX}")):
        if (identity := _read(path)) is not None:
            return identity
    return None


def write_entry(folder: Path | None, key: str, identity: Identity) -> None:
    """Keep an identity under a key; where that cannot be, it is logged."""
    if folder is None:
        return
    entry = replace(identity, metadata={**identity.metadata, _CHECKSUM: _checksum(identity)})
    path = folder / f"{identity.short_hash}-{key}{_SUFFIX}"
    try:
        entry.save(path, "f16" if identity.dtype == "f16" else "f32", overwrite=True)
    except OutputFileError as error:
        _warn_once(f"an identity is not kept: {error}")


def entries_of_identity(short_hash: str) -> list[tuple[Path, Identity]]:
    """The files in the folder that hold an identity with this hash, and what is in them."""
    return _entries(f"{short_hash}-*{_SUFFIX}")


def entries_of_photo(photo_sha256: str) -> list[tuple[Path, Identity]]:
    """The files in the folder that were made from a photo, alone or among others."""
    return [
        (path, identity)
        for path, identity in _entries(f"*{_SUFFIX}")
        if photo_sha256 in str(identity.metadata.get("source_sha256", "")).split(",")
    ]


def find_identity(
    short_hash: str,
    folders: Sequence[str | os.PathLike[str]] = (),
    accept: Callable[[Identity], bool] = lambda identity: True,
) -> Identity | None:
    """The identity with this hash: of the cache, of a kept person, or in one of the folders.

    Of several that have it, the first with an unconditional part is taken.

    Args:
        short_hash: `Identity.short_hash`, or more digits of `Identity.sha256`.
        folders: Where to look for `.pulidembd` files, too; not in the folders inside.
        accept: Says which of several copies will do, as for one with the very numbers.

    Returns:
        None when there is none.

    Raises:
        ValueError: No such hash.
    """
    wanted = short_hash.lower()
    if len(wanted) < _HASH_DIGITS or set(wanted) - set("0123456789abcdef"):
        raise ValueError(
            f"identity hash {shown(short_hash)}: expected {_HASH_DIGITS} hexadecimal digits or more"
        )
    best = None
    for identity in _candidates(wanted[:_HASH_DIGITS], folders):
        if identity.sha256.startswith(wanted) and accept(identity):
            if identity.uncond_tokens is not None:
                return identity
            best = best or identity
    return best


def keep_identity(identity: Identity) -> None:
    """Keep a copy of the numbers, exactly as they are, so that `find_identity` finds it."""
    folder, numbers = store_folder(), _numbers(identity)
    kept = _of_hash(folder, identity.short_hash)
    if not any(_numbers(found) == numbers for found in kept):
        write_entry(folder, numbers[:32], identity)


def _candidates(short_hash: str, folders: Sequence[str | os.PathLike[str]]) -> Iterator[Identity]:
    yield from _of_hash(store_folder(), short_hash)
    with contextlib.suppress(RuntimeError):  # a user without a home
        kept = people_folder()
        folders = (kept, *(kept / encoder for encoder in ENCODERS), *folders)
    for folder in folders:
        for path in sorted(Path(folder).glob(f"*{_SUFFIX}")):
            with contextlib.suppress(IdentityFileError):
                yield Identity.load(path)


def _entries(pattern: str) -> list[tuple[Path, Identity]]:
    folder = store_folder()
    paths = [] if folder is None else sorted(folder.glob(pattern))
    return [(path, found) for path in paths if (found := _read(path)) is not None]


def _of_hash(folder: Path | None, short_hash: str) -> Iterator[Identity]:
    for path in () if folder is None else sorted(folder.glob(f"{short_hash}-*{_SUFFIX}")):
        if (identity := _read(path)) is not None:
            yield identity


def _read(path: Path) -> Identity | None:
    """What is kept in a file; None when it is damaged, and then it is removed."""
    try:
        loaded = Identity.load(path)
        metadata = dict(loaded.metadata)
        checksum = metadata.pop(_CHECKSUM, None)
        identity = replace(loaded, metadata=metadata)
        if checksum != _checksum(identity):
            raise IdentityFileError(f"{path}: its content is damaged")
    except IdentityFileError as error:
        LOGGER.warning("not used: %s", error)
        with contextlib.suppress(OSError):
            with open_regular(path) as file:
                file.read()  # one that cannot be read now may be whole
            path.unlink()
        return None
    return identity


def _checksum(identity: Identity) -> str:
    content = (_numbers(identity), dict(identity.metadata))
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _numbers(identity: Identity) -> str:
    return hashes.numbers(identity.tokens, identity.uncond_tokens)


@functools.cache
def _warn_once(reason: str) -> None:
    """A batch would say it for every person."""
    LOGGER.warning(reason)
