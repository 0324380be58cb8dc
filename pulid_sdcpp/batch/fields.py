"""The fields that a job may have, and their values: typed in TOML and JSON, text in CSV."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..identity.face_choice import check_face_choice, parse_face_choice
from ..model_files.lora_files_named import named_files
from ..options.checks import check_text, check_whole
from ..options.facts import Kind, of
from ..options.generation import MAX_SEED, GenerationOptions
from ..options.prompt_weights import MAX_PROMPT_CHARS
from ..options.step_point import parse_step_point
from ..people.identity_options import IdentityOptions
from ..people.person_spec import PersonSpec
from ..system.user_folders import with_home
from ..terminal_text import control_character, meant, shown

__all__ = [
    "GENERATION_FIELDS",
    "PERSON_FIELDS",
    "SCENE_FIELDS",
    "SHARED_FIELDS",
    "check_known",
    "escape_hint",
    "existing_file",
    "field_values",
    "list_of",
]

_FACTS = {
    name: fact
    for kind in (GenerationOptions, PersonSpec, IdentityOptions)
    for name, fact in of(kind).items()
    if fact.batch
}
GENERATION_FIELDS = tuple(name for name in _FACTS if name in of(GenerationOptions))
"""Of GenerationOptions, less those that are a job's own or the batch itself."""
PERSON_FIELDS = tuple(name for name in _FACTS if name in of(PersonSpec))
"""How a person is put into a picture; wherever it is said, the nearest word counts."""
SCENE_FIELDS = (*GENERATION_FIELDS, *(name for name in _FACTS if name in of(IdentityOptions)))
"""What a prompt may say beside its words."""
SHARED_FIELDS = tuple(_FACTS)
"""What may be said for all jobs at once."""

_MAX_LIST = 1000
_LIST_SEPARATOR = ";"


def field_values(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The values of fields as the options take them: paths, tuples, floats.

    Args:
        given: Values by field, GENERATION_FIELDS, PERSON_FIELDS and single ones of a job; text
            where another type belongs is read as that type, for a CSV has nothing else.
        folder: What relative paths are relative to.

    Raises:
        ValueError: A value that is not what its field takes; names both.
    """
    values = {}
    for name, value in given.items():
        try:
            values[name] = _reader(name)(value, folder)
        except (TypeError, ValueError, OverflowError) as error:
            said = str(error)
            raise ValueError(said if said.startswith(name) else f"{name}: {said}") from None
    return values


def check_known(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse a misspelt field: it would be left out in silence.

    Raises:
        ValueError: Names it, and what may be meant.
    """
    for name in given:
        if name not in known:
            raise ValueError(f"there is no field {shown(name)}; {meant(name, sorted(known))}")


def existing_file(value: object, folder: Path) -> Path:
    """The file that a text names.

    Raises:
        ValueError: It is no text, or there is no such file.
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{shown(value)} is not a file name")
    path = Path(value.strip())
    with contextlib.suppress(ValueError):  # a name that begins with ~
        path = with_home(path)
    path = folder / path
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_file = False
    if not is_file:
        raise ValueError(f"there is no file {shown(str(path))}{escape_hint(value)}")
    return path


def escape_hint(value: str) -> str:
    r"""What may be meant by a name with a tab in it: "C:\test" in TOML's double quotes."""
    if not control_character(value):
        return ""
    return r"; write a path with \ in single quotes, such as 'C:\photos\alice.jpg'"


def list_of(value: object) -> Sequence[Any]:
    """A list as it is; a text with ; between its parts; anything else alone.

    Raises:
        ValueError: Nothing in it, or far too much.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(_LIST_SEPARATOR) if part.strip()]
    parts = value if isinstance(value, list | tuple) else [value]
    if not 0 < len(parts) <= _MAX_LIST:
        raise ValueError(f"expected 1 to {_MAX_LIST} in the list, found {len(parts)}")
    return parts


def _reader(name: str) -> Callable[[Any, Path], Any]:
    if name in _OWN_READERS:
        return _OWN_READERS[name]

    def read(value: Any, folder: Path) -> Any:
        fact = _FACTS[name]
        if value is None:  # what an optional field is when it is not there
            raise ValueError(f"{name} has no value; leave it out")
        found = _READERS[fact.kind](value, folder)
        if name not in GENERATION_FIELDS:  # a job's own options say where they are wrong
            fact.check(found)
        return found

    return read


def _text(value: Any, folder: Path) -> str:
    check_text("the text", value, MAX_PROMPT_CHARS)
    return str(value)


def _bool(value: Any, folder: Path) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def _whole(value: Any, folder: Path = Path()) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,19}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{shown(value)} is not a whole number")
    return value


def _number(value: Any, folder: Path = Path()) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{shown(value)} is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is not a number")
    return number


def _numbers(value: Any, folder: Path) -> tuple[float, ...]:
    parts = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else list_of(value)
    return tuple(_number(part) for part in parts)


def _whole_numbers(value: Any, folder: Path) -> tuple[int, ...]:
    parts = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else list_of(value)
    return tuple(_whole(part) for part in parts)


def _pair(value: Any, folder: Path) -> tuple[float, float]:
    x, y = _two(value)
    return _number(x), _number(y)


def _pair_of_whole(value: Any, folder: Path) -> tuple[int, int]:
    x, y = _two(value)
    return _whole(x), _whole(y)


def _two(value: Any) -> Sequence[Any]:
    parts = value.split("x") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        raise ValueError(f"{shown(value)} are not two numbers, as [32, 32] or 32x32")
    return parts


def _files(value: Any, folder: Path) -> tuple[Path, ...]:
    return tuple(existing_file(part, folder) for part in list_of(value))


def _loras(value: Any, folder: Path) -> tuple[str, ...]:
    try:
        return named_files([_text(part, folder) for part in list_of(value)], folder)
    except ModelFileError as error:
        raise ValueError(str(error)) from None


def _seed(value: Any, folder: Path) -> int:
    check_whole("seed", number := _whole(value), 0, MAX_SEED)
    return number


def _step_point(value: Any, folder: Path) -> Any:
    return parse_step_point(value) if isinstance(value, str) else value


def _face(value: Any, folder: Path) -> Any:
    return parse_face_choice(value) if isinstance(value, str) else check_face_choice(value)


_READERS: Mapping[Kind, Callable[[Any, Path], Any]] = {
    "switch": _bool,
    "whole": _whole,
    "number": _number,
    "text": _text,
    "choice": _text,
    "file": existing_file,
    "picture": existing_file,
    "pictures": _files,
    "loras": _loras,
    "numbers": _numbers,
    "whole numbers": _whole_numbers,
    "pair": _pair,
    "whole pair": _pair_of_whole,
    "step": _step_point,
    "face": _face,
}
_OWN_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "name": _text,
    "preset": _text,
    "prompt": _text,
    "seed": _seed,
}
