"""Hashes of files, computed once per file and remembered, and stamps that tell a change without.

Hashing takes about a second per gigabyte. So a hash is kept in a small file, with the stamp that
the hashed file had: size, times and inode. A file with another stamp is hashed anew. What keeps
its stamp although its content changed is not noticed: on Linux and macOS that takes writing to the
disk past the file system; on Windows, setting the time back after writing as many bytes.

Whoever asks says in an error what the file was to be: here it is an OSError.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import OutputFileError
from .atomic_file import atomic_file
from .json_record import read_json
from .regular_file import open_regular
from .user_folders import cache_folder

__all__ = [
    "file_sha256",
    "file_stamp",
    "is_sha256",
    "known_sha256",
    "records_folder",
    "remembered_files",
    "remembered_hashes",
    "remembered_sha256",
    "stamp_of",
]

_VERSION = 1
_RECENT_NS = 2_000_000_000
"""A file may change again without its time changing: FAT counts in two seconds."""
_MAX_RECORD_BYTES = 4096
_CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")

Check = Callable[[], object]
FilePath = str | os.PathLike[str]


def file_sha256(path: FilePath, *, start: int = 0, check: Check | None = None) -> str:
    """SHA-256 of a regular file, in hexadecimal.

    Args:
        path: The file.
        start: How many bytes at its beginning do not count.
        check: Called between reads; what it raises ends the work.

    Raises:
        OSError: It cannot be read.
        ValueError: A name that no file can have.
    """
    digest = hashlib.sha256()
    chunk = bytearray(_CHUNK_BYTES)
    with open_regular(path) as file, memoryview(chunk) as view:
        file.seek(start)
        while count := file.readinto(chunk):
            digest.update(view[:count])
            if check is not None:
                check()
    return digest.hexdigest()


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal, in lower case."""
    return _SHA256.fullmatch(text) is not None


def file_stamp(path: FilePath) -> tuple[int, ...]:
    """Numbers that tell whether a file is still the same, without reading it.

    Returns:
        As `stamp_of`; () when there is no such file.
    """
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return ()


def stamp_of(found: os.stat_result) -> tuple[int, ...]:
    """Size, times of the last change of content (ns) and of anything (ns; on Windows, of
    creation), and inode.
    """
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def records_folder() -> Path:
    """Where hashes are remembered, in the user's cache folder; without a home, nowhere."""
    try:
        folder = cache_folder() / "hashes"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return Path("no such folder")
    return folder


def remembered_sha256(
    path: FilePath,
    folder: Path,
    compute: Callable[[], str] | None = None,
    *,
    kind: str = "file",
    stamp: Sequence[int] | None = None,
) -> str:
    """A hash of a file, looked up where it is known, else computed and remembered.

    Args:
        path: The file.
        folder: Where to remember it; nothing is remembered where that cannot be written.
        compute: Makes the hash; None: `file_sha256`.
        kind: Tells several hashes of one file apart.
        stamp: Of the file that `compute` reads, when it is open already; None: as it is now.

    Raises:
        OSError, ValueError: As `file_sha256`, or whatever `compute` raises.
    """
    stamp = file_stamp(path) if stamp is None else tuple(stamp)
    record, described = _record(kind, path, stamp, folder)
    digest = _read_record(record, described)
    if digest is None:
        digest = file_sha256(path) if compute is None else compute()
        is_settled = stamp and time.time_ns() - stamp[1] > _RECENT_NS
        if is_settled and file_stamp(path) == stamp:
            text = json.dumps({**described, "sha256": digest})
            with contextlib.suppress(OutputFileError), atomic_file(record) as file:
                file.write(text.encode())
    return digest


def known_sha256(path: FilePath, folder: Path, *, kind: str = "file") -> str | None:
    """What `remembered_sha256` would look up; None: it would have to be computed."""
    return _read_record(*_record(kind, path, file_stamp(path), folder))


def remembered_hashes(folder: Path, *, kind: str = "file") -> set[str]:
    """All hashes that are remembered in a folder, also of files that are gone or have changed."""
    found = set()
    for record in folder.glob(f"{kind}-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            digest = str(read_json(record, _MAX_RECORD_BYTES)["sha256"])
            if is_sha256(digest):
                found.add(digest)
    return found


def remembered_files(digits: str, folder: Path, *, kind: str = "file") -> list[tuple[Path, int]]:
    """The files whose hash began with these digits, as far as it is remembered.

    Args:
        digits: In hexadecimal, as many as are known.
        folder: Where hashes are remembered.
        kind: As for `remembered_sha256`.

    Returns:
        Absolute paths, sorted, and how many bytes they had; a file may be gone or another by now.
    """
    found = []
    for record in sorted(folder.glob(f"{kind}-*.json")):
        try:
            described = read_json(record, _MAX_RECORD_BYTES)
            path, size = Path(described["path"]), int(described["stamp"][0])
            digest = str(described["sha256"])
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue
        if digest.startswith(digits):
            found.append((path, size))
    return sorted(found)


def _record(
    kind: str, source: FilePath, stamp: Sequence[int], folder: Path
) -> tuple[Path, dict[str, object]]:
    path = os.path.realpath(source)
    record = folder / f"{kind}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
    return record, {"version": _VERSION, "path": path, "stamp": list(stamp)}


def _read_record(record: Path, described: dict[str, object]) -> str | None:
    """The hash in a record that is of this very file; None when there is none."""
    try:
        found = read_json(record, _MAX_RECORD_BYTES)
        digest = found.pop("sha256")
        if found == described and len(bytes.fromhex(digest)) == hashlib.sha256().digest_size:
            return str(digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None
