"""Limits of connections: how many, and how long a head may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from pulid_sdcpp.server.http.http_protocol import LimitedHttp

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Impatient(LimitedHttp):
    head_time_s = 0.3
    max_connections = 3


async def answer(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def served(test: Callable[[Callable[[], Awaitable[Connection]]], Awaitable[None]]) -> None:
    async def run() -> None:
        config = uvicorn.Config(
            answer, port=0, http=Impatient, ws="none", lifespan="off", log_config=None,
            timeout_keep_alive=5,
        )  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            await test(lambda: asyncio.open_connection("127.0.0.1", port))
        finally:
            server.should_exit = True
            await task

    asyncio.run(asyncio.wait_for(run(), 30))


async def all_of(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 3)


def test_a_head_that_comes_slowly_is_not_waited_for() -> None:
    async def test(connect: Callable[[], Awaitable[Connection]]) -> None:
        for sent in (b"", b"GET / HT", HEAD):
            reader, writer = await connect()
            writer.write(sent)
            assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
            writer.close()
        # A byte now and then does not help.
        reader, writer = await connect()
        for byte in HEAD[:4]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.06)
        assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()

    served(test)


def test_the_time_is_for_each_head_and_for_no_body() -> None:
    async def test(connect: Callable[[], Awaitable[Connection]]) -> None:
        reader, writer = await connect()
        for _ in range(3):
            writer.write(HEAD + b"Content-Length: 4\r\n\r\n")
            for _ in range(4):
                await asyncio.sleep(0.15)
                writer.write(b"x")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        # Idle between two requests is another limit's.
        await asyncio.sleep(0.5)
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.write(HEAD)
        assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()

    served(test)


def test_more_connections_than_that_are_refused() -> None:
    async def test(connect: Callable[[], Awaitable[Connection]]) -> None:
        found = [await connect() for _ in range(3)]
        for reader, writer in found:
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        reader, writer = await connect()
        assert (await all_of(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        found[0][1].close()
        await asyncio.sleep(0.1)
        reader, writer = await connect()
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        for _, each in [*found, (reader, writer)]:
            each.close()

    served(test)
