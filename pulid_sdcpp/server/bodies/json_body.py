"""JSON from outside: small in what it becomes, and the same to every reader.

Before anything is parsed, the text is looked at without its strings: how deep it is, and how many
values it has. So 64 MiB of "[],[],[]" do not become gigabytes of lists.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from ...terminal_text import quoted
from ..errors import ApiError

__all__ = ["MAX_JSON_DEPTH", "MAX_JSON_VALUES", "check_json_type", "json_object", "json_value"]

MAX_JSON_DEPTH = 32
"""Lists and objects in each other."""
MAX_JSON_VALUES = 100_000
"""Values in a body; keys are not counted. The largest request of a client has some hundred."""

_MAX_NUMBER_CHARS = 400
_OPENING, _CLOSING = b"[{", b"]}"
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_JSON_TYPE = re.compile(
    r'application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*', re.IGNORECASE
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_json_type(content_type: str | None) -> None:
    """Refuse a body that is not said to be JSON; a form of another site cannot say so.

    Args:
        content_type: The header.

    Raises:
        ApiError: wrong_type.
    """
    if not _JSON_TYPE.fullmatch((content_type or "").strip()):
        found = quoted(content_type) if content_type else "none"
        raise ApiError(
            "wrong_type", f"expected Content-Type: application/json in UTF-8, found {found}"
        )


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a body is; nothing at all is an empty one.

    Raises:
        ApiError: bad_json: as `json_value`, or it is a list, a text, a number.
    """
    if not body.strip():
        return {}
    value = json_value(body)
    if not isinstance(value, dict):
        raise _bad("expected an object, {...}, found another value")
    return value


def json_value(body: bytes, param: str | None = None) -> Any:
    """What a JSON text means.

    Args:
        body: UTF-8, with or without a byte order mark.
        param: The field that it is from, where it is not the whole body.

    Raises:
        ApiError: bad_json: it is no UTF-8 or no JSON; is deeper than 32 or has more than 100,000
            values; has a key twice, NaN, an infinity, a number of more than 400 digits, or half a
            character.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(f"expected UTF-8, found another byte at {error.start}", param) from None
    _check_outline(body, param)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_whole,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _bad(f"{error.msg} at {where}", param) from None
    except _Unfit as error:
        raise _bad(str(error), param) from None
    if "\\u" in text:
        _check_characters(value, param)
    return value


class _Unfit(Exception):
    """What JSON allows, or Python's reader of it, and we do not."""


def _bad(reason: str, param: str | None = None) -> ApiError:
    return ApiError("bad_json", f"{param or 'the body'} is not usable JSON: {reason}", param)


def _check_outline(body: bytes, param: str | None) -> None:
    """Depth and number of values, of text that may be no JSON at all."""
    # Escapes in strings first: what is left of quotes are the strings' own.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if plain.count(b'"') > 4 * MAX_JSON_VALUES:  # two of a key, two of its value
        raise _too_many(param)
    outside = b" ".join(plain.split(b'"')[::2])
    if sum(map(outside.count, (b",", b"[", b"{"))) >= MAX_JSON_VALUES:
        raise _too_many(param)
    depth = 0
    for bracket in outside.translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > MAX_JSON_DEPTH:
            raise _bad(f"it is deeper than {MAX_JSON_DEPTH} lists and objects", param)
        if depth < 0:  # the reader ends there, too
            break


def _too_many(param: str | None) -> ApiError:
    return _bad(f"it has more than {MAX_JSON_VALUES:,} values", param)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two equal keys counts, so what is checked may not be what is
    used."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _Unfit(f"the key {quoted(twice)} stands in one object twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _Unfit(f"{name} is no number of JSON")


def _whole(digits: str) -> int:
    _check_length(digits)
    return int(digits)


def _number(digits: str) -> float:
    _check_length(digits)
    number = float(digits)
    if math.isinf(number):
        raise _Unfit(f"the number {quoted(digits)} is too large")
    return number


def _check_length(digits: str) -> None:
    if len(digits) > _MAX_NUMBER_CHARS:
        raise _Unfit(f"a number has more than {_MAX_NUMBER_CHARS} characters")


def _check_characters(value: Any, param: str | None) -> None:
    r"""No half of a character, as "\ud800": it can be in a string of Python, and in no file."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left.extend(one)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
        elif isinstance(one, str) and (half := _SURROGATE.search(one)):
            raise _bad(f"it has half of a character, \\u{ord(half[0]):04x}", param)
