"""Connections of uvicorn with two limits that it lacks: how many there are, and how long a
request's head may take. Who sends a byte a minute would keep a connection for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_TIME_S", "MAX_CONNECTIONS", "LimitedHttp"]

HEAD_TIME_S = 60.0
"""For a request's line and its headers, from their first byte or the connection's begin."""
MAX_CONNECTIONS = 512

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
_NO_BODY = b"Content-Length: 0\r\n\r\n"


class LimitedHttp(H11Protocol):
    """One connection."""

    head_time_s = HEAD_TIME_S
    max_connections = MAX_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(_FULL)
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """Begin to wait for a head, or stop, where it is there."""
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_time_s, self._refuse, _SLOW)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer + _NO_BODY)
            self.transport.close()
