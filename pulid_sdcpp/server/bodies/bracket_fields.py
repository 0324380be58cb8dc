"""Objects in a form, as clients write them by names with brackets: `pulid[weight]`.

OpenAI's library sends its `extra_body` of an edit so, and would otherwise lose a person in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...terminal_text import quoted
from ..errors import ApiError

__all__ = ["unbracketed"]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_LIST = "[]"


def unbracketed(values: Mapping[str, Any]) -> dict[str, Any]:
    """A form's fields with objects made of the names that have brackets.

    `a[b]` is an object, `a[b][c]` an object in one. `a[][b]` is a list of objects: who has several,
    says each field for each of them, as nobody could tell else which one a field belongs to.

    Args:
        values: As of `FormBody.values`: a name that came several times has a list.

    Raises:
        ApiError: "invalid_value": the objects cannot be told.
    """
    found: dict[str, Any] = {}
    listed: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        parts = _NAME.fullmatch(name)
        if parts is None:
            _put(found, (name,), value, name)
        elif parts[2].startswith(_LIST):
            keys = _keys(parts[2][len(_LIST) :], parts[1])
            _put(listed.setdefault(parts[1], {}), keys, value, parts[1])
        else:
            _put(found, (parts[1], *_keys(parts[2], parts[1])), value, parts[1])
    for name, fields in listed.items():
        _put(found, (name,), _objects(fields, name), name)
    return found


def _keys(brackets: str, name: str) -> tuple[str, ...]:
    keys = tuple(brackets[1:-1].split("][")) if brackets else ()
    if not all(keys) or not keys:
        raise _unclear(name)
    return keys


def _put(found: dict[str, Any], keys: tuple[str, ...], value: Any, name: str) -> None:
    for key in keys[:-1]:
        found = found.setdefault(key, {})
        if not isinstance(found, dict):
            raise _unclear(name)
    if keys[-1] in found:
        raise _unclear(name)
    found[keys[-1]] = value


def _objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """One object of each place in the lists that the fields have."""
    lists = {key: value if isinstance(value, list) else [value] for key, value in fields.items()}
    counts = {len(several) for several in lists.values()}
    if len(counts) != 1:
        raise _unclear(name)
    return [{key: several[i] for key, several in lists.items()} for i in range(counts.pop())]


def _unclear(name: str) -> ApiError:
    return ApiError(
        "invalid_value",
        f"the fields of {quoted(name)} cannot be told apart; send it as one field, JSON as text",
        name,
    )
