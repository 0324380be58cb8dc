"""Options as entries of a picture's text: a key and a value, both ways."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..options.step_point import StepPoint
from ..system.file_hash import file_sha256
from ..terminal_text import shown

__all__ = [
    "Entry",
    "FileUsed",
    "damaged",
    "describe_file_used",
    "file_hash",
    "read_entries",
    "read_list",
    "read_point",
    "write_entries",
    "write_float",
    "write_list",
]

_HASH_DIGITS = 10
_IN_MEMORY = "in memory"
"""Instead of a file's name, for a picture that came from none."""


@dataclass(frozen=True)
class Entry:
    """One option in the text. Written when it is not the default, or always."""

    key: str
    option: str
    write: Callable[[Any], str] = str
    read: Callable[[str], Any] = str
    always: bool = False


def write_entries(entries: Sequence[Entry], options: object, suffix: str = "") -> dict[str, str]:
    """Key and value of each option that is to be written.

    Args:
        options: An options object; its class has the defaults.
        suffix: Behind each key.
    """
    defaults = {field.name: field.default for field in fields(options)}  # type: ignore[arg-type]
    written = {}
    for entry in entries:
        value = getattr(options, entry.option)
        if entry.always or (value != defaults[entry.option] and not _is_empty(value)):
            written[entry.key + suffix] = entry.write(value)
    return written


def read_entries(
    entries: Sequence[Entry], values: Mapping[str, str], suffix: str = ""
) -> dict[str, Any]:
    """Each option that is there, by its name.

    Raises:
        ValueError: A value that is not what its key promises.
    """
    found = {}
    for entry in entries:
        key = entry.key + suffix
        if key in values:
            try:
                found[entry.option] = entry.read(values[key])
            except ValueError:
                raise damaged(key, values[key]) from None
    return found


def damaged(key: str, value: str) -> ValueError:
    """What to raise for a value that cannot be read."""
    return ValueError(f"the picture's text is damaged: {key} is {shown(value)}")


def write_float(value: float) -> str:
    return repr(float(value))


def write_list(values: Sequence[float]) -> str:
    return " ".join(write_float(value) for value in values)


def read_list(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in text.split())


def read_point(text: str) -> StepPoint:
    """A step, or with a point in it a part of the steps."""
    return int(text) if text.isdecimal() else float(text)


@dataclass(frozen=True)
class FileUsed:
    """A file as it was when it was read: its name, and `file_hash`."""

    name: str
    digest: str

    @classmethod
    def of(cls, path: str | os.PathLike[str], content: bytes | None = None) -> FileUsed:
        """The file as it is now, or as it was with this content."""
        return cls(Path(path).name, file_hash(path) if content is None else _shortened(content))


def describe_file_used(key: str, file: str | os.PathLike[str] | FileUsed | None) -> dict[str, str]:
    """Name and hash of a picture that was used; None: it was in memory only."""
    if file is None:
        return {key: _IN_MEMORY}
    used = file if isinstance(file, FileUsed) else FileUsed.of(file)
    return {key: used.name, f"{key} hash": used.digest}


def file_hash(path: str | os.PathLike[str]) -> str:
    """The first digits of a file's SHA-256, as web UIs shorten hashes."""
    return file_sha256(path)[:_HASH_DIGITS]


def _shortened(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [])
