"""Dataclasses that check the types of their fields, and are made of JSON."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

from ...terminal_text import shown

__all__ = ["CheckedMessage", "message_of"]


class CheckedMessage:
    """A message whose fields are what they are declared to be."""

    def __post_init__(self) -> None:
        message: Any = type(self)
        for name, kind in _kinds(message).items():
            value = getattr(self, name)
            if not _is_a(value, kind):
                what = f"{type(self).__name__}.{name}"
                raise ValueError(f"{what} is {shown(value)}, which is of another type")


def message_of(kind: Any, values: Mapping[str, Any]) -> Any:
    """JSON has lists where messages have tuples, and objects where they have dataclasses."""
    found = dict(values)
    for name, value in values.items():
        declared = _kinds(kind).get(name)
        if isinstance(value, dict) and _is_message(declared):
            found[name] = message_of(declared, value)
        elif isinstance(value, list):
            found[name] = tuple(value)
    return kind(**found)


def _is_message(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, CheckedMessage)


@functools.cache
def _kinds(message: Any) -> dict[str, Any]:
    return typing.get_type_hints(message)


def _is_a(value: object, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return any(_is_a(value, one) for one in typing.get_args(kind))
    if origin is tuple:
        (part, _) = typing.get_args(kind)
        return isinstance(value, tuple) and all(_is_a(one, part) for one in value)
    if origin is not None:
        return isinstance(value, origin)
    if kind is Any:
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
