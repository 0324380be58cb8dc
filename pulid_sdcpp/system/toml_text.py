"""TOML from outside: read in a time that suits its size, or refused with the line and a hint."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["parse_toml"]

MAX_KEY_PARTS = 32
"""Of `a.b.c = 1`. The parser takes the square of it in time; ours have four."""

# Strings, with those that do not end, and comments; what is left has dots in keys and numbers only.
_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""|\\?\Z)'
    r"|'''.*?(?:'''|\Z)"
    r'|"(?:\\[^\n]|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf"(?<![\w.-])[\w-]+(?:[ \t]*\.[ \t]*[\w-]+){{{MAX_KEY_PARTS}}}")
_BACKSLASH_IN_STRING = re.compile(r'"(?:\\.|[^"\\])*\\.*"')
_SEARCHED_CHARS = 1000  # of a line, for a hint


def parse_toml(text: str) -> dict[str, Any]:
    """The whole document.

    Raises:
        ValueError: It is no TOML, too deeply nested, or has a key of too many parts.
    """
    if found := _LONG_KEY.search(_STRING_OR_COMMENT.sub(_place_holder, text)):
        line = found.string.count("\n", 0, found.start()) + 1
        raise ValueError(f"a key of more than {MAX_KEY_PARTS} parts (at line {line})")
    try:
        document: dict[str, Any] = tomllib.loads(text)
        return document
    except RecursionError:
        raise ValueError("too deeply nested") from None
    except ValueError as error:
        reason = str(error)[:200]
        raise ValueError(reason + _hint(text, reason)) from None


def _place_holder(found: re.Match[str]) -> str:
    return ("" if found[0].startswith("#") else "s") + "\n" * found[0].count("\n")


def _hint(text: str, reason: str) -> str:
    r"""What to do where the line has a Windows path in "..."."""
    place = re.search(r"\(at line (\d+)", reason)
    lines = text.split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    if _BACKSLASH_IN_STRING.search(line[:_SEARCHED_CHARS]):
        return r"; write a path with \ in single quotes, such as 'C:\photos\alice.jpg'"
    return ""
