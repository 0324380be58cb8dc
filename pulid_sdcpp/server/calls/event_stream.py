"""An answer that is a stream of events."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from ..bodies.sse import KEEP_ALIVE, SSE_HEADERS, SSE_TYPE, sse_event

__all__ = ["event_stream"]

_RETRY_MS = 2000


def event_stream(events: AsyncIterator[tuple[str, Mapping[str, Any]] | None]) -> StreamingResponse:
    """Events as an answer, counted from 1.

    Args:
        events: A name and JSON; None: nothing happened for a while.
    """

    async def chunks() -> AsyncIterator[bytes]:
        count = itertools.count(1)
        async for event in events:
            if event is None:
                yield KEEP_ALIVE
            else:
                number = next(count)
                retry_ms = _RETRY_MS if number == 1 else None
                yield sse_event(*event, number=number, retry_ms=retry_ms)

    return StreamingResponse(chunks(), media_type=SSE_TYPE, headers=dict(SSE_HEADERS))
