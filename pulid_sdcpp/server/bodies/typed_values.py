"""A value of a request's body as an option takes it: as JSON has it, or a form's text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ...errors import spelled
from ...identity.face_choice import check_face_choice, parse_face_choice
from ...options.facts import Fact, Kind, of
from ...options.step_point import parse_step_point
from ...terminal_text import shown
from ..errors import ApiError

__all__ = ["invalid", "refused", "typed", "typed_fields", "unwrapped_list"]

T = TypeVar("T")

MAX_LIST = 1001
"""The longest list of numbers: noise levels of the most steps."""

_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def typed(fact: Fact, value: Any, param: str) -> Any:
    """The value, of the option's type and in its range.

    Args:
        fact: The option; it is no picture.
        value: A number may be text, as forms have it; 20.0 is a whole number, too.
        param: What the client calls the field.

    Raises:
        ApiError: "invalid_value", of any other value.
    """
    try:
        found = _READERS[fact.kind](value)
        fact.check(found)
    except ValueError as error:
        raise refused(error, param, {fact.name: param}) from None
    return found


def typed_fields(options: type[T], body: Mapping[str, Any]) -> T:
    """Options of a body's fields by the same names; others are passed over, and None is not said.

    Raises:
        ApiError: As `typed`.
    """
    values = {
        name: typed(fact, body[name], name)
        for name, fact in of(options).items()
        if body.get(name) is not None
    }
    return options(**values)


def refused(error: ValueError, param: str | None, names: Mapping[str, str]) -> ApiError:
    """What a client is told of a value that an option cannot have.

    Args:
        error: Of the options.
        param: The field; None: the first option that the error names.
        names: What the client calls the options.
    """
    found: list[str] = []

    def spell(name: str) -> str:
        found.append(names.get(name, name))
        return found[-1]

    text = spelled(error, spell)
    if param is not None and param.partition(".")[0] not in text and param not in text:
        text = f"{param}: {text}"
    return ApiError("invalid_value", text, param or (found[0] if found else None))


def invalid(param: str, value: Any, expected: str) -> ApiError:
    """The error of a value that is not what was expected."""
    return ApiError("invalid_value", f"{param} is {shown(value)}, but must be {expected}", param)


def unwrapped_list(value: Any, param: str, most: int) -> list[Any]:
    """A list as it is.

    Raises:
        ApiError: "invalid_value": it is none, or longer than `most`.
    """
    if not isinstance(value, list | tuple):
        raise invalid(param, value, "a list")
    if len(value) > most:
        raise ApiError("invalid_value", f"{param} has {len(value)}, but may have {most}", param)
    return list(value)


def _switch(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool) and not (isinstance(value, int) and value in (0, 1)):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return bool(value)


def _whole(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{shown(value)} is not a whole number")
    return value


def _number(value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is not a number")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    return value


def _several(one: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [part for part in re.split(r"[\s,;]+", value) if part]
        if not isinstance(value, list | tuple) or len(value) > MAX_LIST:
            raise ValueError(f"{shown(value)} is not a list of at most {MAX_LIST} numbers")
        return tuple(one(part) for part in value)

    return read


def _step(value: Any) -> Any:
    if isinstance(value, str):
        return parse_step_point(value)
    if isinstance(value, float) and value > 1 and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is not a step; give a number (4) or a part (0.2, '20%')")
    return value


def _face(value: Any) -> Any:
    return parse_face_choice(value) if isinstance(value, str) else check_face_choice(value)


_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    "switch": _switch,
    "whole": _whole,
    "number": _number,
    "text": _text,
    "choice": _text,
    "numbers": _several(_number),
    "whole numbers": _several(_whole),
    "pair": _several(_number),
    "whole pair": _several(_whole),
    "step": _step,
    "face": _face,
}
