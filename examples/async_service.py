"""An asyncio service: many clients, one engine; who hangs up is not drawn for.

    python examples/async_service.py --preset pocket --port 7070

A client sends one line of JSON, and gets lines of JSON until the picture is there:

    {"prompt": "photo of a person", "photo": "<base64>", "steps": 4, "seed": 7}

    {"stage": "denoise", "step": 1, "steps": 4}
    {"preview": "<base64 of a JPEG>", "step": 1}
    {"seed": 7, "picture": "<base64 of a PNG>"}
    {"error": "no face found in the given picture"}

It listens on this computer only, and asks for no password.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import io
import json
import sys
from contextlib import aclosing, suppress
from typing import Any

from pulid_sdcpp import (
    AsyncPulidPipeline,
    ProgressEvent,
    PulidError,
    UnfinishedPicture,
)

MOST_BYTES = 16 << 20
"""Of a request: a phone's photo has 3 to 8 MB, and a third more in base64."""
MOST_CLIENTS = 64
MOST_STEPS = 50
KNOWN = {"prompt", "photo", "steps", "seed"}


class Service:
    """Answers clients of a pipeline."""

    def __init__(self, pipeline: AsyncPulidPipeline) -> None:
        self._pipeline = pipeline
        self._places = asyncio.Semaphore(MOST_CLIENTS)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client; when it hangs up, its picture is cancelled."""
        try:
            if self._places.locked():
                return await _send(writer, {"error": "too many wait; try again later"})
            async with self._places:
                line = await asyncio.wait_for(reader.readline(), 60)
                answering = asyncio.ensure_future(self._answer(line, writer))
                hanging_up = asyncio.ensure_future(_gone(reader))
                await asyncio.wait([answering, hanging_up], return_when=asyncio.FIRST_COMPLETED)
                for task in (answering, hanging_up):
                    task.cancel()
                await asyncio.gather(answering, hanging_up, return_exceptions=True)
        except (ValueError, OSError, asyncio.TimeoutError) as error:
            with suppress(OSError):
                await _send(writer, {"error": str(error) or "nothing came"})
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = read_request(line)
            person = None
            if "photo" in request:
                person = await self._pipeline.enroll(request["photo"])
            drawing = self._pipeline.stream(
                request["prompt"],
                person,
                previews=True,
                steps=request.get("steps", self._pipeline.settings.get("steps", 4)),
                seed=request.get("seed", -1),
            )
            async with aclosing(drawing) as items:
                async for item in items:
                    if isinstance(item, ProgressEvent):
                        told: dict[str, Any] = vars(item)
                    elif isinstance(item, UnfinishedPicture):
                        buffer = io.BytesIO()
                        item.image.save(buffer, "JPEG")
                        told = {"preview": _text(buffer.getvalue()), "step": item.step}
                    else:
                        told = {"seed": item.seed, "picture": _text(item.to_bytes())}
                    await _send(writer, told)
        except (PulidError, ValueError) as error:
            await _send(writer, {"error": str(error)})


def read_request(line: bytes) -> dict[str, Any]:
    """What a client asks for.

    Raises:
        ValueError: It is none, or asks for too much.
    """
    request = json.loads(line)
    if not isinstance(request, dict) or not isinstance(request.get("prompt"), str):
        raise ValueError("expected an object with a prompt")
    if unknown := request.keys() - KNOWN:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    steps = request.get("steps", 1)
    if not isinstance(steps, int) or steps > MOST_STEPS:
        raise ValueError(f"steps may be {MOST_STEPS} at most")
    if "photo" in request:
        try:
            request["photo"] = base64.b64decode(request["photo"], validate=True)
        except (TypeError, binascii.Error):
            raise ValueError("photo is not base64") from None
    return request


async def _gone(reader: asyncio.StreamReader) -> None:
    """Wait until the client hangs up; what it still sends is dropped."""
    while await reader.read(4096):
        pass


async def _send(writer: asyncio.StreamWriter, told: dict[str, Any]) -> None:
    writer.write(json.dumps(told).encode() + b"\n")
    await writer.drain()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def main(arguments: list[str]) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Pictures of people, as a service.")
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--port", type=int, default=7070)
    options = parser.parse_args(arguments)
    async with await AsyncPulidPipeline.from_preset(options.preset) as pipeline:
        await pipeline.load()
        server = await asyncio.start_server(
            Service(pipeline).serve, "127.0.0.1", options.port, limit=MOST_BYTES
        )
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1:]))
