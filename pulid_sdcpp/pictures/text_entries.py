"""Options as entries of a picture's text: a key and a value, both ways."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..options.facts import Fact, Kind, of
from ..options.step_point import StepPoint
from ..system.file_hash import file_sha256
from ..terminal_text import shown

__all__ = [
    "Entry",
    "FileUsed",
    "damaged",
    "describe_file_used",
    "entries_of",
    "file_hash",
    "read_entries",
    "read_list",
    "read_size",
    "write_entries",
    "write_float",
    "write_list",
]

_HASH_DIGITS = 10
_IN_MEMORY = "in memory"
"""Instead of a file's name, for a picture that came from none."""


@dataclass(frozen=True)
class Entry:
    """One option in the text. Written when it is not the default, or always; never when empty."""

    key: str
    option: str
    write: Callable[[Any], str] = str
    read: Callable[[str], Any] = str
    always: bool = False
    is_file: bool = False


def entries_of(options: type, first: Sequence[str] = ()) -> tuple[Entry, ...]:
    """The options of a dataclass that have a key in the text, as its facts say.

    Args:
        first: Options that come before the others, in this order; the others in that of fields.
    """
    facts = {name: fact for name, fact in of(options).items() if fact.text}
    order = dict.fromkeys((*(name for name in first if name in facts), *facts))
    return tuple(_entry(facts[name]) for name in order)


def _entry(fact: Fact) -> Entry:
    if fact.kind == "choice":
        back = {shown: name for name, shown in fact.text_names.items()}
        write, read = _named(fact.text_names), _named(back)
    else:
        write, read = _FORMS[fact.kind]
    return Entry(fact.text, fact.name, write, read, fact.always, fact.kind == "file")


def _named(names: Mapping[str, str]) -> Callable[[str], str]:
    return lambda name: names.get(name, name)


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
        if not _is_empty(value) and (entry.always or value != defaults[entry.option]):
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


def _write_whole(values: Sequence[int]) -> str:
    return " ".join(map(str, values))


def _read_whole(text: str) -> tuple[int, ...]:
    return tuple(int(value) for value in text.split())


def _read_point(text: str) -> StepPoint:
    """A step, or with a point in it a part of the steps."""
    return int(text) if text.isdecimal() else float(text)


def _write_pair(values: tuple[float, float]) -> str:
    return f"{values[0]}x{values[1]}"


def read_size(text: str) -> tuple[int, int]:
    """`64x32`."""
    x, _, y = text.partition("x")
    return int(x), int(y)


def _read_pair(text: str) -> tuple[float, float]:
    x, _, y = text.partition("x")
    return float(x), float(y)


def _read_switch(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError
    return text == "True"


def _file_name(path: str | os.PathLike[str]) -> str:
    return Path(path).name


# How values are written and read.
_FORMS: Mapping[Kind, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    "switch": (str, _read_switch),
    "whole": (str, int),
    "number": (write_float, float),
    "text": (str, str),
    "file": (_file_name, str),
    "numbers": (write_list, read_list),
    "whole numbers": (_write_whole, _read_whole),
    "pair": (_write_pair, _read_pair),
    "whole pair": (_write_pair, read_size),
    "step": (str, _read_point),
}


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
