"""What goes through the door: bodies, watched while they come, and answers, while they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..access.answer_headers import ANSWER_HEADERS, REQUEST_ID
from ..bodies.read_body import BODY_TIME_S, too_large, too_slow
from ..bodies.sse import SSE_TYPE

__all__ = ["App", "IncomingBody", "Message", "OutgoingAnswer", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class OutgoingAnswer:
    """What is sent: with the headers that all answers have, and counted.

    Args:
        send: Where to.
        request_id: Of the request.
        is_head: Whether only the head is wanted.

    Attributes:
        headers: That it gets, where it has no such itself; may be added to.
        status: Of the answer; 0 before it has begun.
        sent_bytes: Of its body.
        job: The job that it is about; "".
    """

    def __init__(self, send: Send, request_id: str, *, is_head: bool) -> None:
        self.request_id = request_id
        self.headers = {**ANSWER_HEADERS, REQUEST_ID: request_id, "Vary": "Origin"}
        self.status = 0
        self.sent_bytes = 0
        self.job = ""
        self._send = send
        self._is_head = is_head
        self._is_stream = False
        self._is_whole = False

    async def send(self, message: Message) -> None:
        """As the application's `send`."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._with_ours(message.get("headers", ()))}
        elif self._is_head:
            message = {**message, "body": b""}
        self.sent_bytes += len(message.get("body", b""))
        if message["type"] == "http.response.body":
            self._is_whole = not message.get("more_body", False)
        await self._send(message)

    async def end_stream(self) -> None:
        """End a stream of events that was left without an end; another answer stays half."""
        if self.status and self._is_stream and not self._is_whole:
            await self.send({"type": "http.response.body", "body": b""})

    def _with_ours(self, given: Any) -> list[tuple[bytes, bytes]]:
        said = {name.lower(): value for name, value in given}
        self.job = said.get(b"x-pulid-job", b"").decode("latin-1")
        self._is_stream = said.get(b"content-type", b"").startswith(SSE_TYPE.encode())
        ours = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in self.headers.items()
        ]
        return [*given, *(pair for pair in ours if pair[0] not in said or pair[0] == b"vary")]


class IncomingBody:
    """What comes: no more than is allowed, within the time that is allowed.

    Args:
        receive: Where from.
        max_bytes: The most.
        closing: Set when the server ends; for who only waits for the client to leave, it has left.
    """

    def __init__(self, receive: Receive, max_bytes: int, closing: asyncio.Event) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._closing = closing
        self._came_bytes = 0
        self._is_whole = False
        self._end: float | None = None
        self._left: asyncio.Future[Message] | None = None

    async def receive(self) -> Message:
        """As the application's `receive`.

        Raises:
            ApiError: too_large, timed_out.
        """
        if self._is_whole:
            return await self._client_left()
        loop = asyncio.get_running_loop()
        if self._end is None:
            self._end = loop.time() + BODY_TIME_S
        try:
            message = await asyncio.wait_for(self._receive(), max(self._end - loop.time(), 0.001))
        except asyncio.TimeoutError:  # another one than TimeoutError in Python 3.10
            raise too_slow(BODY_TIME_S) from None
        self._came_bytes += len(message.get("body", b""))
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._came_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        return message

    def close(self) -> None:
        """Wait for the client no more: the request has ended."""
        if self._left is not None:
            self._left.cancel()

    async def _client_left(self) -> Message:
        # One task for all calls: who only looks whether the client is there gives up at once, and
        # what takes a turn of the loop would never be seen.
        if self._left is None:
            self._left = asyncio.ensure_future(self._receive())
        if not self._left.done() and not self._closing.is_set():
            closing = asyncio.ensure_future(self._closing.wait())
            try:
                waited: set[asyncio.Future[Any]] = {self._left, closing}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                closing.cancel()
        return self._left.result() if self._left.done() else {"type": "http.disconnect"}
