"""Content hashes of weights files, computed once per file and remembered.

Hashing takes seconds per gigabyte. So the hash is kept in a small file, with the stamp that
the weights had: size, times and inode. Weights with another stamp are hashed anew. What keeps its
stamp although its content changed is not noticed: on Linux and macOS that takes writing to the
disk past the file system; on Windows, setting the time back after writing as many bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ModelFileError, OutputFileError
from ..families.flux.pulid_weights import PulidWeights
from ..system.atomic_file import atomic_file
from ..system.json_record import read_json
from ..system.regular_file import open_regular
from ..system.user_folders import cache_folder
from ..tensors.file_bytes import file_stamp

__all__ = [
    "data_digest",
    "file_digest",
    "layers_digest",
    "records_folder",
    "remembered_digest",
]

_VERSION = 1
_RECENT_NS = 2_000_000_000
"""A file may change again without its time changing: FAT counts in two seconds."""
_MAX_RECORD_BYTES = 4096
_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 100_000_000  # what the safetensors format allows

Check = Callable[[], object]


def records_folder() -> Path:
    """Where hashes are remembered, in the user's cache folder; without a home, nowhere."""
    try:
        folder = cache_folder() / "hashes"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return Path("no such folder")
    return folder


def layers_digest(weights: PulidWeights, folder: Path) -> str:
    """SHA-256 of what folding reads of a weights file, in hexadecimal.

    Args:
        weights: The open file.
        folder: Where to remember it; nothing is remembered where that cannot be written.
    """

    def compute() -> str:
        return weights.file.content_sha256(weights.layer_tensors())

    return _digest("weights", weights.path, weights.file.stamp, folder, compute)


def file_digest(path: str | os.PathLike[str], folder: Path, check: Check | None = None) -> str:
    """SHA-256 of a whole file, in hexadecimal.

    Args:
        path: The file.
        folder: As for `layers_digest`.
        check: Called between reads; what it raises ends the work.

    Raises:
        ModelFileError: It cannot be read.
    """
    return _digest("file", path, file_stamp(path), folder, lambda: _sha256(path, check))


def data_digest(path: str | os.PathLike[str], folder: Path, check: Check | None = None) -> str:
    """SHA-256 of a safetensors file without its header, so that notes in it do not count.

    Of a file in another format, of all of it. Web UIs know LoRAs by it ("AutoV3").

    Args:
        path, folder, check: As for `file_digest`.

    Raises:
        ModelFileError: It cannot be read.
    """

    def compute() -> str:
        return _sha256(path, check, _header_bytes(path))

    return _digest("data", path, file_stamp(path), folder, compute)


def remembered_digest(kind: str, path: str | os.PathLike[str], folder: Path) -> str | None:
    """What is known without reading the file; None: nothing is.

    Args:
        kind: "file" or "data".
        path, folder: As for `file_digest`.
    """
    record, described = _record(kind, path, file_stamp(path), folder)
    return _remembered(record, described)


def _header_bytes(path: str | os.PathLike[str]) -> int:
    """How much of a safetensors file is header; 0 for another."""
    try:
        with open_regular(path) as file:
            head = file.read(9)
            length = int.from_bytes(head[:8], "little")
            is_safetensors = head[8:] == b"{" and length <= _MAX_HEADER_BYTES
            return 8 + length if is_safetensors else 0
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read it: {error.strerror or error}") from error


def _sha256(path: str | os.PathLike[str], check: Check | None, start: int = 0) -> str:
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            file.seek(start)
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                if check is not None:
                    check()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read it: {error.strerror or error}") from error
    return digest.hexdigest()


def _digest(
    kind: str,
    source: str | os.PathLike[str],
    stamp: Sequence[int],
    folder: Path,
    compute: Callable[[], str],
) -> str:
    """What was remembered of the file with this stamp, else what `compute` says."""
    record, described = _record(kind, source, stamp, folder)
    digest = _remembered(record, described)
    if digest is None:
        digest = compute()
        is_settled = stamp and time.time_ns() - stamp[1] > _RECENT_NS
        if is_settled and file_stamp(source) == tuple(stamp):
            text = json.dumps({**described, "sha256": digest})
            with contextlib.suppress(OutputFileError), atomic_file(record) as file:
                file.write(text.encode())
    return digest


def _record(
    kind: str, source: str | os.PathLike[str], stamp: Sequence[int], folder: Path
) -> tuple[Path, dict[str, object]]:
    path = os.path.realpath(source)
    record = folder / f"{kind}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
    return record, {"version": _VERSION, "path": path, "stamp": list(stamp)}


def _remembered(record: Path, described: dict[str, object]) -> str | None:
    """The hash in a record that is of this very file; None when there is none."""
    try:
        found = read_json(record, _MAX_RECORD_BYTES)
        digest = found.pop("sha256")
        if found == described and len(bytes.fromhex(digest)) == hashlib.sha256().digest_size:
            return str(digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None
