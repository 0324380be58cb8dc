"""Where the server listens."""

from __future__ import annotations

import asyncio
import socket

from pulid_sdcpp.server.http.sockets import listening_sockets


def test_no_answer_waits_for_an_acknowledgement() -> None:
    """The parts of an answer are sent at once: a connection has TCP_NODELAY."""

    async def delays() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            found.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listening_sockets(["127.0.0.1"], [0]) as (listening,):
            async with await asyncio.start_server(accepted, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                try:
                    return await asyncio.wait_for(found, 10)
                finally:
                    writer.close()

    assert asyncio.run(delays())
