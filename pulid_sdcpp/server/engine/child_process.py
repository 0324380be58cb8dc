"""A child process that is sent lines and sends events: started, read, and ended without a rest."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import line_without_folders
from .engine_messages import Command, EngineEvent, LogEvent, as_line, event_from
from .process_end import ending_in_words, memory_kills, was_killed

__all__ = ["ChildProcess"]

LOGGER = logging.getLogger("pulid_sdcpp.server.engine")
"""What the engine process says."""

_MAX_LINE_BYTES = 64 << 20  # a preview of the largest picture, decoded in full
_LAST_LINES = 20
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_STREAMS_S = 2.0  # for what is left in the pipes of a process that has ended


class ChildProcess:
    """One engine process; made by `start`, and of use until `events` ends.

    Attributes:
        reason: How it ended, behind "the engine process"; "" while it runs.
        out_of_memory: Whether the kernel ended it for that.
        last_lines: The end of its stderr.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._kills_before = memory_kills()
        self._is_killed_by_us = False
        self._events: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self.last_lines: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self.reason, self.out_of_memory = "", False
        self._reading = [
            asyncio.ensure_future(self._read_events()),
            asyncio.ensure_future(self._read_log()),
        ]
        self._ending = asyncio.ensure_future(self._wait())

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str] | None) -> ChildProcess:
        """Start a process, in a group of its own: the terminal's Ctrl-C is not for it.

        Args:
            command: The program and its arguments.
            env: Variables beside those of this process.

        Raises:
            OSError: It cannot be started.
        """
        apart: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
            apart = {"creationflags": group | getattr(subprocess, "CREATE_NO_WINDOW", 0)}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **(env or {})},
            limit=_MAX_LINE_BYTES,
            **apart,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return not (self._ending.done() or self._is_killed_by_us)

    def send(self, command: Command) -> None:
        """Send a command; to a process that has ended, nothing."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            with contextlib.suppress(OSError):
                stdin.write(as_line(command))

    async def event(self) -> EngineEvent | None:
        """The next event; None: it has ended, and `reason` says how."""
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # for who asks again
        return event

    def kill(self) -> None:
        """End it at once; it says nothing more."""
        self._is_killed_by_us = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self, grace_s: float) -> None:
        """Let it end by itself, at most for so long; then it is ended. Nothing of it is left."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait([self._ending], timeout=grace_s)
        finally:
            if self.is_running:
                self.kill()
            # A process that was killed ends, so this does not wait for long, nor for anybody.
            await asyncio.shield(self._ending)

    async def _wait(self) -> None:
        returncode = await self._process.wait()
        # What it started itself may hold the pipes open for longer.
        _, unread = await asyncio.wait(self._reading, timeout=_STREAMS_S)
        for task in unread:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        self._process._transport.close()  # type: ignore[attr-defined]
        killed = was_killed(returncode) and not self._is_killed_by_us
        self.out_of_memory = killed and memory_kills() > self._kills_before
        if not self.reason:
            self.reason = ending_in_words(returncode, out_of_memory=self.out_of_memory)
        self._events.put_nowait(None)

    async def _read_events(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while (line := await stdout.readline()).endswith(b"\n"):  # else it died in this line
                event = event_from(line)
                if isinstance(event, LogEvent):
                    level = _LEVELS.get(event.level, logging.ERROR)
                    LOGGER.log(level, "%s", line_without_folders(event.text))
                else:
                    self._events.put_nowait(event)
        except ValueError as error:  # of another version
            if self._process.returncode is None:
                self.reason = f"said what is no message: {error}"
                self.kill()

    async def _read_log(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        rest = b""
        while part := await stderr.read(1 << 16):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._log(line)
            if len(rest) > 1 << 16:  # a line without an end
                self._log(rest)
                rest = b""
        if rest:
            self._log(rest)

    def _log(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.last_lines.append(text)
            LOGGER.debug("%s", text)
