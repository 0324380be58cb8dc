"""Server-sent events, as a browser's EventSource and other clients read them.

Source: the HTML standard, 9.2 Server-sent events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["KEEP_ALIVE", "KEEP_ALIVE_S", "SSE_HEADERS", "SSE_TYPE", "sse_event"]

SSE_TYPE = "text/event-stream"
SSE_HEADERS: Mapping[str, str] = MappingProxyType(
    {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
)
"""Nobody keeps the events, and nginx passes each on at once."""
KEEP_ALIVE = b":\n\n"
"""A comment, which clients pass over; proxies end a connection on which nothing comes."""
KEEP_ALIVE_S = 15.0


def sse_event(
    name: str, data: Mapping[str, Any], *, number: int | None = None, retry_ms: int | None = None
) -> bytes:
    """An event as it is sent.

    Args:
        name: What is listened for; letters, digits, dots and underlines.
        data: JSON, on one line.
        number: The event's id.
        retry_ms: After how long a client that lost its connection comes again.
    """
    lines = [] if number is None else [f"id: {number}"]
    if retry_ms is not None:
        lines.append(f"retry: {retry_ms}")
    # In ASCII, with "\n" for a line break: so it is one line, whatever a reader takes for an end.
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    lines += [f"event: {name}", f"data: {text}"]
    return ("\n".join(lines) + "\n\n").encode("ascii")
