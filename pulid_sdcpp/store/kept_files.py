"""What this program keeps on the disk for later, where that is, and removing it.

Everything here can be made or fetched again. Model files are not among it: `store.removal` removes
those that were downloaded; nor are people who were given a name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputFileError
from ..folding.cache import find_folded
from ..identity.identity_file import Identity
from ..identity.store import entries_of_identity, entries_of_photo
from ..system.user_folders import cache_folder
from ..terminal_text import reason_of
from .model_store import downloads_folder
from .resumable_download import PART_SUFFIX

__all__ = ["KeptFiles", "clear_kept", "find_of_person", "kept_files", "remove_files"]

_IN_USE_S = 24 * 3600.0
"""A folder of converted LoRAs goes with its engine; one that old was left by a killed process."""


@dataclass(frozen=True)
class KeptFiles:
    """One kind of files that are kept.

    Attributes:
        name: For `cache clear`.
        what: For people, in a few words.
        folder: Where they are; it may not exist.
        paths: The files; for converted LoRAs, their folders.
        size_bytes: What they take on the disk.
        private: Whether they are made from somebody's face.
    """

    name: str
    what: str
    folder: Path
    paths: tuple[Path, ...]
    size_bytes: int
    private: bool = False


def kept_files() -> list[KeptFiles]:
    """Everything that is kept, kind by kind; nothing is made.

    Raises:
        RuntimeError: The user has no home folder, and none is named in PULID_SDCPP_CACHE.
    """
    cache, temporary = cache_folder(), Path(tempfile.gettempdir())
    return [
        _kept("identities", "identities made from photos", cache / "identities", private=True),
        _kept("folded", "identities folded for a model", cache / "folded", private=True),
        _kept("hashes", "hashes of model files", cache / "hashes"),
        _kept("pocket", "the pocket model's expanded files", cache / "pocket"),
        _kept("downloads", "unfinished downloads", _hub_folder(), _unfinished()),
        _kept("loras", "converted LoRAs that a killed process left", temporary, _left_loras()),
    ]


def clear_kept(kinds: Sequence[KeptFiles]) -> int:
    """Remove files that are kept.

    Returns:
        How many bytes that has freed.

    Raises:
        OutputFileError: One cannot be removed; names it.
    """
    return sum(remove_files(kept.paths) for kept in kinds)


def remove_files(paths: Sequence[Path]) -> int:
    """Remove files, and folders with all that is in them; who was faster does no harm.

    Returns:
        How many bytes that has freed.

    Raises:
        OutputFileError: One cannot be removed; names it.
    """
    freed = 0
    for path in paths:
        size = _size(path)
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputFileError(f"{path}: cannot be removed: {reason_of(error)}") from error
        freed += size
    return freed


def find_of_person(identity: Identity | None, photo_sha256: str = "") -> list[Path]:
    """The files in the cache that are made from a person's face.

    Args:
        identity: Somebody's; copies of it, and its folded layers, are found.
        photo_sha256: Of a photo: identities made from it, their copies and folded layers.
    """
    identities = [] if identity is None else [identity]
    if photo_sha256:
        identities += [one for _, one in entries_of_photo(photo_sha256)]
    paths: dict[Path, None] = {}
    for one in identities:
        copies = [path for path, _ in entries_of_identity(one.short_hash)]
        paths |= dict.fromkeys((*copies, *find_folded(one.tokens)))
    return list(paths)


def _kept(
    name: str, what: str, folder: Path, paths: Iterator[Path] | None = None, private: bool = False
) -> KeptFiles:
    found = tuple(sorted(_files_in(folder) if paths is None else paths))
    return KeptFiles(name, what, folder, found, sum(map(_size, found)), private)


def _files_in(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (path for path in folder.rglob("*") if path.is_file())


def _hub_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _unfinished() -> Iterator[Path]:
    """Parts of files that `models pull` will go on with, on the hub's side and ours."""
    with contextlib.suppress(OSError):
        for folder in (_hub_folder(), downloads_folder()):
            yield from folder.rglob(f"*{PART_SUFFIX}")


def _left_loras() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob("pulid-sdcpp-loras-*"):
            if time.time() - folder.stat().st_mtime > _IN_USE_S:
                yield folder


def _size(path: Path) -> int:
    """What a file, or all files in a folder, take on the disk; holes take nothing."""
    total = 0
    for file in (path, *(_files_in(path) if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            found = os.stat(file, follow_symlinks=False)
            total += min(found.st_size, getattr(found, "st_blocks", 1 << 62) * 512)
    return total
