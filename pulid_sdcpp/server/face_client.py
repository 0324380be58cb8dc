"""The process that finds faces, as the server sees it: pictures in, faces out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..extraction.face_looker import LookedAt
from ..identity.face_choice import FaceChoice
from .engine_errors import EngineCrashedError, exception_of
from .engine_messages import ErrorEvent
from .face_process import LookRequest
from .process_end import ending_in_words

__all__ = ["FACE_COMMAND", "FaceClient"]

LOGGER = logging.getLogger("pulid_sdcpp.server.faces")

FACE_COMMAND = (sys.executable, "-m", "pulid_sdcpp.server.face_process")

_ATTEMPTS = 2
_CLOSE_S = 5.0


class FaceClient:
    """One process that looks at pictures, one after another; started when it is needed.

        async with FaceClient() as faces:
            looked_at = await faces.look(content, detector)

    Args:
        command: How the process is started.
        idle_s: After so long without a picture it ends, and its memory is free.
    """

    def __init__(self, *, command: Sequence[str] = FACE_COMMAND, idle_s: float = 60.0) -> None:
        self._command = tuple(command)
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    async def look(
        self,
        picture: bytes | Path,
        detector: str | os.PathLike[str],
        recognisers: Sequence[str | os.PathLike[str]] = (),
        choice: FaceChoice | None = None,
    ) -> LookedAt:
        """Find the faces of a picture, as `FaceLooker.look`.

        A client that leaves meanwhile does not stop it: it is done in a second or two.

        Raises:
            EngineCrashedError: The process died twice, or cannot be started.
            ValueError: The client is closed.
            Exception: As `FaceLooker.look`.
        """
        given = picture if isinstance(picture, bytes) else os.fspath(picture)
        files = tuple(os.fspath(path) for path in recognisers)
        request = LookRequest(given, os.fspath(detector), files, choice)
        return await asyncio.shield(self._look(request))

    async def close(self) -> None:
        """End the process, after the picture that it looks at."""
        self._is_closed = True
        async with self._turn:
            self._stop_idle()
            await asyncio.to_thread(self._end)

    async def __aenter__(self) -> FaceClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _look(self, request: LookRequest) -> LookedAt:
        async with self._turn:
            if self._is_closed:
                raise ValueError("this face client is closed")
            self._stop_idle()
            try:
                answer = await asyncio.to_thread(self._answer, request)
            finally:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(self._idle_s, self._end_idle)
        if isinstance(answer, ErrorEvent):
            raise exception_of(answer)
        assert isinstance(answer, LookedAt)
        return answer

    def _answer(self, request: LookRequest) -> Any:
        """In a thread, one at a time."""
        for attempt in range(1, _ATTEMPTS + 1):
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump(request, process.stdin)
                process.stdin.flush()
                return pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                words = ending_in_words(self._end(), out_of_memory=False)
                LOGGER.error("the process that finds faces %s", words)
                if attempt == _ATTEMPTS:
                    raise EngineCrashedError(
                        f"the process that finds faces {words}; try again, or send a smaller photo"
                    ) from None
        raise AssertionError

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            apart: dict[str, Any] = {"start_new_session": True}
            if os.name == "nt":
                apart = {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    **apart,
                )
            except OSError as error:
                raise EngineCrashedError(
                    f"the process that finds faces cannot be started: {error.strerror}"
                ) from None
        return self._process

    def _end(self) -> int:
        """End the process; its exit status."""
        process, self._process = self._process, None
        return 0 if process is None else _ended(process)

    def _end_idle(self) -> None:
        self._idle = None
        if self._process is not None and not self._turn.locked():
            process, self._process = self._process, None
            asyncio.get_running_loop().run_in_executor(None, _ended, process)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Let it end by itself, which the end of its stdin makes it do; nothing of it is left."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        return process.wait(_CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
