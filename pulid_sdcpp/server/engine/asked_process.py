"""A process that answers questions: started when it is needed, ended when nobody asks.

Both ends are this program: questions and answers are pickled, see `answer_questions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from .engine_errors import EngineCrashedError, error_event, exception_of
from .engine_messages import ErrorEvent
from .process_end import ending_in_words

__all__ = ["AskedProcess", "answer_questions"]

LOGGER = logging.getLogger("pulid_sdcpp.server.asked")

_ATTEMPTS = 2
_CLOSE_S = 5.0


def answer_questions(source: BinaryIO, out: BinaryIO, answer: Callable[[Any], Any]) -> None:
    """Answer each question until `source` ends; what goes wrong is an answer, too."""
    while True:
        try:
            question = pickle.load(source)
        except EOFError:
            return
        found: Any
        try:
            found = answer(question)
        except Exception as error:
            found = error_event("", error)
        pickle.dump(found, out)
        out.flush()


class AskedProcess:
    """One process that answers one question after another.

    Args:
        command: How it is started.
        what: It, in messages: "the process that finds faces".
        idle_s: After so long without a question it ends, and its memory is free.
    """

    def __init__(self, command: Sequence[str], what: str, *, idle_s: float) -> None:
        self._command = tuple(command)
        self._what = what
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    async def ask(self, question: Any) -> Any:
        """Wait for the answer. Who gives up waiting does not stop it.

        Raises:
            EngineCrashedError: The process died twice, or cannot be started.
            ValueError: It is closed.
            Exception: What went wrong in the process.
        """
        return await asyncio.shield(self._ask(question))

    async def close(self) -> None:
        """End the process, after the question that it is at."""
        self._is_closed = True
        async with self._turn:
            self._stop_idle()
            await asyncio.to_thread(self._end)

    async def _ask(self, question: Any) -> Any:
        async with self._turn:
            if self._is_closed:
                raise ValueError(f"{self._what} is closed")
            self._stop_idle()
            try:
                answer = await asyncio.to_thread(self._answer, question)
            finally:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(self._idle_s, self._end_idle)
        if isinstance(answer, ErrorEvent):
            raise exception_of(answer)
        return answer

    def _answer(self, question: Any) -> Any:
        """In a thread, one at a time."""
        for attempt in range(1, _ATTEMPTS + 1):
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump(question, process.stdin)
                process.stdin.flush()
                return pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                words = ending_in_words(self._end(), out_of_memory=False)
                LOGGER.error("%s %s", self._what, words)
                if attempt == _ATTEMPTS:
                    raise EngineCrashedError(f"{self._what} {words}; try again") from None
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
                    f"{self._what} cannot be started: {error.strerror}"
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
