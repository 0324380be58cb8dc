"""A chat bot that draws people: the part that is the same for Discord, Telegram or a terminal.

    python examples/chat_bot.py --preset pocket --pictures pictures

Each line on stdin is a message, as NAME: TEXT. The bot knows these:

    rose: /me portraits/rose.png        keep this photo as Rose's face
    rose: sitting in a cafe             a picture of Rose
    rose: /stop                         not that one
    rose: /forget                       her face is forgotten

For a chat system, call `Bot.answer` for every message, with the attached photo's bytes, and send
the `Reply`. Messages of several people can arrive at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pulid_sdcpp import AsyncPulidPipeline, Identity, PulidError

STYLE = "photo of a person"
MOST_WAITING = 3
"""Pictures that one person may have asked for at a time."""


@dataclass(frozen=True)
class Reply:
    """What the bot says, and a picture as the bytes of a JPEG file."""

    text: str
    picture: bytes | None = None


class Bot:
    """Knows who is who, and what everybody has asked for.

    A real one would keep `Identity.to_bytes()` in its database, with its users' consent: an
    identity is biometric data.
    """

    def __init__(self, pipeline: AsyncPulidPipeline) -> None:
        self._pipeline = pipeline
        self._faces: dict[str, Identity] = {}
        self._tasks: dict[str, set[asyncio.Task[Reply]]] = {}

    async def answer(self, user: str, text: str, photo: bytes | None = None) -> Reply:
        """Answer one message; never raises but for a defect."""
        if text == "/stop":
            stopped = [task for task in self._tasks.get(user, ()) if task.cancel()]
            return Reply(f"stopped {len(stopped)}")
        if text == "/forget":
            known = self._faces.pop(user, None) is not None
            return Reply("forgotten" if known else "I did not know you")
        if len(self._tasks.get(user, ())) >= MOST_WAITING:
            return Reply("one after another, please")
        task = asyncio.ensure_future(
            self._keep(user, photo) if photo is not None else self._draw(user, text)
        )
        own = self._tasks.setdefault(user, set())
        own.add(task)
        task.add_done_callback(own.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # by /stop, and not this call
                return Reply("stopped")
            task.cancel()
            raise
        except (PulidError, ValueError) as error:  # one line that can be shown
            return Reply(f"sorry: {error}")

    async def _keep(self, user: str, photo: bytes) -> Reply:
        self._faces[user] = await self._pipeline.enroll(photo)
        return Reply("now I know you")

    async def _draw(self, user: str, text: str) -> Reply:
        result = await self._pipeline.generate(f"{STYLE}, {text}", self._faces.get(user), seed=-1)
        return Reply(f"seed {result.seed}", result.to_bytes("jpeg", quality=90))


async def chat(
    bot: Bot, next_line: Callable[[], Awaitable[str]], send: Callable[[str, Reply], None]
) -> None:
    """Answer every line until there is none, without waiting for one before the next."""
    answering: set[asyncio.Task[None]] = set()

    async def serve(user: str, text: str) -> None:
        photo = None
        if text.startswith("/me "):
            try:
                photo = Path(text.removeprefix("/me ")).read_bytes()
            except OSError as error:
                return send(user, Reply(f"sorry: {error}"))
        send(user, await bot.answer(user, text, photo))

    while line := await next_line():
        user, colon, text = line.strip().partition(": ")
        if colon:
            task = asyncio.ensure_future(serve(user, text))
            answering.add(task)
            task.add_done_callback(answering.discard)
            await asyncio.sleep(0)  # it begins before the next line is looked at
    await asyncio.gather(*answering)


async def main(arguments: list[str]) -> None:
    """Chat on stdin and stdout."""
    parser = argparse.ArgumentParser(description="A chat bot that draws people.")
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--pictures", type=Path, default=Path("pictures"))
    options = parser.parse_args(arguments)
    options.pictures.mkdir(exist_ok=True)
    count = 0

    def send(user: str, reply: Reply) -> None:
        nonlocal count
        print(f"@{user} {reply.text}", flush=True)
        if reply.picture is not None:
            count += 1
            (options.pictures / f"{count}.jpg").write_bytes(reply.picture)

    async with await AsyncPulidPipeline.from_preset(options.preset) as pipeline:
        await chat(Bot(pipeline), lambda: asyncio.to_thread(sys.stdin.readline), send)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
