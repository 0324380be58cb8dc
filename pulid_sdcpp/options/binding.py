"""Options under the names and in the forms of the engine's binding, and back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..terminal_text import shown
from .checks import check_choice
from .facts import Fact, Kind, of

__all__ = ["choice_name", "from_binding", "several", "to_binding"]


def to_binding(options: Any) -> dict[str, Any]:
    """The binding's keyword arguments for an options dataclass."""
    return {
        fact.binding or name: _written(fact, getattr(options, name))
        for name, fact in of(type(options)).items()
    }


def from_binding(
    options: type,
    arguments: Mapping[str, Any],
    numbers: Mapping[str, Mapping[str, Any]],
    without: Collection[str] = (),
) -> dict[str, Any]:
    """The fields of an options dataclass among the binding's arguments.

    Args:
        arguments: All of the binding's.
        numbers: The binding's numbers of its choices, by argument and name.
        without: Fields that are left out.

    Raises:
        ValueError: A text that cannot be read, or an unknown choice; names the argument.
    """
    found = {}
    for name, fact in of(options).items():
        if name not in without:
            argument = fact.binding or name
            found[name] = _read(fact, argument, arguments[argument], numbers)
    return found


def choice_name(given: object, numbers: Mapping[str, Any], what: str) -> str:
    """The name of a choice; the binding also takes its number, and None for the default.

    Raises:
        ValueError: A number that is none of them.
    """
    if given is None:
        return "default"
    if isinstance(given, str):
        return given.strip().lower()
    for name, number in numbers.items():
        if number is not None and number == given:
            return name.lower()
    raise ValueError(f"{what} is {shown(given)}, but must be one of {', '.join(numbers)}")


def several(given: Any) -> tuple[Any, ...]:
    """Pictures as a tuple; the binding takes one alone, too, and None."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def _written(fact: Fact, value: Any) -> Any:
    if fact.kind == "choice":
        return None if value is None else fact.binding_names.get(value, value).lower()
    write = _WRITERS.get(fact.kind)
    return value if write is None else write(value)


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _joined(values: Any) -> str:
    return "x".join(map(str, values))


_WRITERS: Mapping[Kind, Callable[[Any], Any]] = {
    # The engine takes infinity as "not given" (stable-diffusion.cpp, sd_sample_params_init).
    "number": lambda value: math.inf if value is None else value,
    "file": lambda value: "" if value is None else os.fspath(value),
    "picture": _path,
    "pictures": lambda values: [_path(value) for value in values] or None,
    "numbers": lambda values: ",".join(repr(float(value)) for value in values) or None,
    "whole numbers": list,
    "pair": _joined,
    "whole pair": _joined,
}


def _read(fact: Fact, argument: str, value: Any, numbers: Mapping[str, Mapping[str, Any]]) -> Any:
    if fact.kind == "choice":
        name = choice_name(value, numbers[argument], argument)
        check_choice(argument, name, tuple(dict.fromkeys(("default", *fact.choices))))
        return name if name in fact.choices else fact.default
    read = _READERS.get(fact.kind)
    return value if read is None else read(argument, value)


def _unless_infinite(argument: str, value: Any) -> Any:
    return None if isinstance(value, float) and value == math.inf else value


def _numbers(argument: str, value: object) -> list[float]:
    text = "" if value is None else value
    if not isinstance(text, str):
        raise ValueError(
            f"{argument} is {shown(value)}, but must be text: numbers with commas between"
        )
    try:
        return [float(level) for level in text.strip(" []").split(",") if level.strip()]
    except ValueError:
        raise ValueError(
            f"{argument} is {shown(value)}, but must be numbers with commas between"
        ) from None


def _pair_of(number: type) -> Callable[[str, Any], tuple[Any, Any]]:
    """A reader of "32x32", "32", 32 or None: x and y."""

    def read(argument: str, value: Any) -> tuple[Any, Any]:
        parts = str(value or 0).split("x", 1)
        try:
            values = [number(part) for part in parts]
        except ValueError:
            raise ValueError(f"{argument} is {shown(value)}, but must be like 32x32") from None
        return values[0], values[-1]

    return read


_READERS: Mapping[Kind, Callable[[str, Any], Any]] = {
    "switch": lambda _, value: bool(value),
    "number": _unless_infinite,
    "pictures": lambda _, value: several(value),
    "numbers": _numbers,
    "whole numbers": lambda _, value: tuple(value),
    "pair": _pair_of(float),
    "whole pair": _pair_of(int),
}
