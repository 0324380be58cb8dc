"""The content hash of PuLID's layers, computed once per weights file and remembered.

Hashing takes about as long as folding. So the hash is kept in a small file, with the stamp that
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
from pathlib import Path

from .atomic_file import atomic_file
from .errors import OutputFileError
from .pulid_weights import PulidWeights

__all__ = ["layers_digest"]

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
    path = os.path.realpath(weights.path)
    record = folder / f"weights-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
    described = {"version": _VERSION, "path": path, "stamp": list(weights.file.stamp)}
    digest = _remembered(record, described)
    if digest is None:
        digest = weights.file.content_sha256(weights.layer_tensors())
        if weights.file.stamp and time.time_ns() - weights.file.stamp[1] > _RECENT_NS:
            text = json.dumps({**described, "sha256": digest})
            with contextlib.suppress(OutputFileError), atomic_file(record) as file:
                file.write(text.encode())
    return digest


def _remembered(record: Path, described: dict[str, object]) -> str | None:
    """The hash in a record that is of this very file; None when there is none."""
    try:
        with record.open("rb") as file:
            found = json.loads(file.read(_MAX_RECORD_BYTES))
        digest = found.pop("sha256")
        if found == described and len(bytes.fromhex(digest)) == hashlib.sha256().digest_size:
            return str(digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None
