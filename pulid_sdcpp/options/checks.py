"""Checks of single values: each raises a ValueError that names the option, its value and what
it may be."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence

from ..errors import named, option_error
from ..terminal_text import hint, shown

__all__ = [
    "FilePath",
    "check_choice",
    "check_multiple",
    "check_number",
    "check_pair",
    "check_path",
    "check_text",
    "check_texts",
    "check_whole",
]

FilePath = str | os.PathLike[str]


def check_whole(name: str, value: object, low: int, high: int) -> None:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise option_error(f"{named(name)} is {shown(value)}, but must be a whole number") from None
    if not low <= number <= high:
        raise option_error(f"{named(name)} is {shown(number)}, but must be {_range(low, high)}")


def _range(low: int, high: int) -> str:
    """Without an end that is only that of the engine's numbers."""
    if low <= -(2**31):
        return f"{high} at most"
    return f"{low} or more" if high >= 2**31 - 1 else f"from {low} to {high}"


def check_multiple(name: str, value: object, step: int) -> None:
    number = operator.index(value)  # type: ignore[arg-type]
    if number % step:
        lower = number - number % step
        raise option_error(
            f"{named(name)} is {number}, but must be a multiple of {step}; use {lower} or "
            f"{lower + step}"
        )


def check_number(name: str, value: object, low: float, high: float) -> None:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise option_error(f"{named(name)} is {shown(value)}, but must be a number") from None
    if not low <= number <= high:  # false for NaN too
        raise option_error(f"{named(name)} is {number:g}, but must be from {low:g} to {high:g}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        names = ", ".join(choices)
        raise option_error(
            f"{named(name)} is {shown(value)}, but must be one of {names}{hint(value, choices)}"
        )


def check_text(name: str, value: object, max_chars: int) -> None:
    if not isinstance(value, str):
        raise option_error(f"{named(name)} is {shown(value)}, but must be text")
    if len(value) > max_chars:
        raise option_error(f"{named(name)} has {len(value)} characters, but may have {max_chars}")
    if "\0" in value:  # the engine's strings end there
        raise option_error(
            f"{named(name)} has a NUL character at position {value.index(chr(0))}; remove it"
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise option_error(
            f"{named(name)} is not valid Unicode at position {error.start}; write it as UTF-8"
        ) from None


def check_texts(name: str, value: object, max_chars: int) -> None:
    """Refuse what is not a list of texts; one text looks like a list of letters."""
    if not isinstance(value, tuple | list):
        raise option_error(f"{named(name)} is {shown(value)}, but must be a list of texts")
    for text in value:
        check_text(name, text, max_chars)


def check_pair(name: str, value: object) -> None:
    """Refuse what is not two of something."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise option_error(f"{named(name)} is {shown(value)}, but must be two numbers")


def check_path(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str | os.PathLike):
        raise option_error(f"{named(name)} is {shown(value)}, but must be a path")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise option_error(f"{named(name)} is {shown(value)}, which cannot be a path")
