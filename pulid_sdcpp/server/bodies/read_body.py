"""The bytes of a request: refused by their announced length, else counted as they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable

from ...terminal_text import quoted
from ..errors import ApiError

__all__ = ["BODY_TIME_S", "check_body_length", "read_body", "too_large", "too_slow"]

BODY_TIME_S = 300.0
"""For all of a body; a client that sends a byte a minute is gone after it."""


def check_body_length(content_length: str | None, max_bytes: int) -> None:
    """Refuse a body by its header, before a byte of it is read.

    Args:
        content_length: The header; None: it is sent in chunks, or there is no body.
        max_bytes: The most that it may have.

    Raises:
        ApiError: too_large; or invalid_value where the header is no number.
    """
    if content_length is None:
        return
    # Of ASCII digits: int() takes signs, spaces, underscores and the digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,20}", content_length):
        raise ApiError(
            "invalid_value",
            f"expected a number of bytes as Content-Length, found {quoted(content_length)}",
        )
    if int(content_length) > max_bytes:
        raise too_large(max_bytes)


async def read_body(
    chunks: AsyncIterable[bytes], max_bytes: int, time_s: float = BODY_TIME_S
) -> bytes:
    """All of a body, in memory.

    Args:
        chunks: What comes of it.
        max_bytes: The most that it may have; no more than one chunk above it is ever held.
        time_s: How long it may take.

    Raises:
        ApiError: too_large, or timed_out.
    """
    try:
        return await asyncio.wait_for(_collected(chunks, max_bytes), time_s)
    except asyncio.TimeoutError:  # another one than TimeoutError in Python 3.10
        raise too_slow(time_s) from None


async def _collected(chunks: AsyncIterable[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise too_large(max_bytes)
    return bytes(body)


def too_large(max_bytes: int) -> ApiError:
    """The error of a body above that."""
    return ApiError(
        "too_large",
        f"the request may have {max_bytes:,} bytes at most (--max-body-mib); send smaller or "
        "fewer pictures",
    )


def too_slow(time_s: float) -> ApiError:
    """The error of a body that did not come within that time."""
    return ApiError(
        "timed_out",
        f"the request did not arrive within {time_s:g} s; send it faster, or less of it",
    )
