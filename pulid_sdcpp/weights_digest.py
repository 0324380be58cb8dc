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

from .atomic_file import atomic_file
from .errors import ModelFileError, OutputFileError
from .json_record import read_json
from .mapped_file import file_stamp
from .pulid_weights import PulidWeights
from .regular_file import open_regular

__all__ = ["file_digest", "layers_digest"]

_VERSION = 1
_RECENT_NS = 2_000_000_000
"""A file may change again without its time changing: FAT counts in two seconds."""
_MAX_RECORD_BYTES = 4096


def layers_digest(weights: PulidWeights, folder: Path) -> str:
    """SHA-256 of what folding reads of a weights file, in hexadecimal.

    Args:
        weights: The open file.
        folder: Where to remember it; nothing is remembered where that cannot be written.
    """

    def compute() -> str:
        return weights.file.content_sha256(weights.layer_tensors())

    return _digest("weights", weights.path, weights.file.stamp, folder, compute)


def file_digest(path: str | os.PathLike[str], folder: Path) -> str:
    """SHA-256 of a whole file, in hexadecimal.

    Args:
        path: The file.
        folder: As for `layers_digest`.

    Raises:
        ModelFileError: It cannot be read.
    """
    return _digest("file", path, file_stamp(path), folder, lambda: _sha256(path))


def _sha256(path: str | os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
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
    path = os.path.realpath(source)
    record = folder / f"{kind}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
    described = {"version": _VERSION, "path": path, "stamp": list(stamp)}
    digest = _remembered(record, described)
    if digest is None:
        digest = compute()
        is_settled = stamp and time.time_ns() - stamp[1] > _RECENT_NS
        if is_settled and file_stamp(source) == tuple(stamp):
            text = json.dumps({**described, "sha256": digest})
            with contextlib.suppress(OutputFileError), atomic_file(record) as file:
                file.write(text.encode())
    return digest


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
