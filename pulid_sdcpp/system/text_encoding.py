"""Text files as people's programs write them."""

from __future__ import annotations

import codecs

__all__ = ["decoded"]

_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what PowerShell 5 writes with `>`


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
