"""Comparing model files with what they should be, byte by byte."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError
from ..system.file_hash import file_sha256, is_sha256
from ..terminal_text import reason_of
from .model_store import FileFound

__all__ = ["CheckedFile", "check_file"]


@dataclass(frozen=True)
class CheckedFile:
    """The result for one file.

    Attributes:
        found: The file and where it is.
        state: "ok"; "wrong"; "size" when only the size could be compared; "unknown" when
            nothing could; "missing".
        problem: What is wrong.
    """

    found: FileFound
    state: str
    problem: str = ""


def check_file(found: FileFound) -> CheckedFile:
    """Read the whole file and compare it with its list entry, or with the hub's hash of it.

    Raises:
        ModelFileError: It cannot be read.
    """
    if found.path is None:
        return CheckedFile(found, "missing", found.problem)
    expected = found.file.sha256 or _hub_sha256(found)
    if not expected:
        return CheckedFile(found, "size" if found.file.size_bytes else "unknown")
    try:
        hashed = file_sha256(found.path)
    except OSError as error:
        raise ModelFileError(f"{found.path}: cannot be read: {reason_of(error)}") from error
    if hashed == expected:
        return CheckedFile(found, "ok")
    problem = (
        f"{found.path}: expected SHA-256 {expected[:12]}..., found {hashed[:12]}...: it is "
        "damaged, or another file"
    )
    return CheckedFile(found, "wrong", problem)


def _hub_sha256(found: FileFound) -> str:
    """The hub's cache names the content of large files by their hash."""
    assert found.path is not None
    name = Path(os.path.realpath(found.path)).name
    return name if found.place == "hub" and is_sha256(name) else ""
