"""Text files as people's programs write them, and what is wrong with one that is no TOML."""

from __future__ import annotations

import codecs
import re

__all__ = ["decoded", "toml_problem"]

_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what PowerShell 5 writes with `>`
_BASIC_STRING = re.compile(r'"(?:\\.|[^"\\])*\\.*"')


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 that begins with a byte order mark.

    Raises:
        ValueError: Neither; says at which byte.
    """
    try:
        if content.startswith(_UTF_16) and not content.startswith(_UTF_32):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected UTF-8 text, found something else at byte {error.start}"
        ) from None


def toml_problem(text: str, error: Exception) -> str:
    r"""What the parser says, with a hint where the line has a Windows path in "..."."""
    if isinstance(error, RecursionError):
        return "too deeply nested"
    reason = str(error)[:200]
    place = re.search(r"\(at line (\d+)", reason)
    lines = text.split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    if _BASIC_STRING.search(line):
        reason += r"; a path with \ in it goes into single quotes, as 'C:\photos\alice.jpg'"
    return reason
