"""What goes through the door."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request

from pulid_sdcpp.server.http.traffic import IncomingBody


def test_a_client_that_left_is_noticed_by_who_only_looks() -> None:
    async def test() -> None:
        leaves = asyncio.Event()
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"x"}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await leaves.wait()
            return {"type": "http.disconnect"}

        body = IncomingBody(receive, 10, asyncio.Event())
        request = Request({"type": "http", "method": "POST", "headers": []}, body.receive)
        assert await request.body() == b"x"
        assert not await request.is_disconnected()
        leaves.set()
        await asyncio.sleep(0.01)
        assert await request.is_disconnected()
        body.close()

    asyncio.run(test())
