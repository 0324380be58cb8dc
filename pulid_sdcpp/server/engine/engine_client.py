"""The engine process as the server sees it: jobs in, events out, started again when it dies."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ...errors import GenerationCancelled
from .child_process import ChildProcess
from .engine_errors import EngineCrashedError, exception_of
from .engine_messages import (
    CancelCommand,
    DoneEvent,
    EngineEvent,
    ErrorEvent,
    JobCommand,
    MakeCommand,
    ModelChoice,
    RestartedEvent,
    SavedEvent,
    UnloadCommand,
)

__all__ = ["ENGINE_COMMAND", "EngineClient"]
from .job_engine import model_after

LOGGER = logging.getLogger("pulid_sdcpp.server.engine")

ENGINE_COMMAND = (sys.executable, "-m", "pulid_sdcpp.server.engine.engine_process")

_ATTEMPTS = 2
_CLOSE_S = 10.0  # for an engine process that does nothing; then it is ended


class EngineClient:
    """One engine process, started when there is something to do, and again when it has died.

        async with EngineClient() as engine:
            async for event in engine.run(MakeCommand("job_1", folder, model, request)):
                print(event)

    Jobs are done one after another, in the order of asking. Use it in one event loop.

    Args:
        command: How the process is started.
        env: Variables for it beside ours: which card it sees.
        context: Fields of `ContextOptions` for every model, over its own: which device is meant.
        cancel_grace_s: How long a cancelled job may take to stop; then the process is ended.
        idle_unload_s: After so long without a job the process ends, which frees all of the card; 0:
            it stays.

    Attributes:
        restarts: How often it died while it worked, and was started again.
        model: The model of the last job that came to its end in the process that runs now.
    """

    def __init__(
        self,
        *,
        command: Sequence[str] = ENGINE_COMMAND,
        env: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
        cancel_grace_s: float = 120.0,
        idle_unload_s: float = 0.0,
    ) -> None:
        self._command = command
        self._env = env
        self._context = dict(context or {})
        self._cancel_grace_s = cancel_grace_s
        self._idle_unload_s = idle_unload_s
        self._turn = asyncio.Lock()
        self._child: ChildProcess | None = None
        self._jobs: set[str] = set()
        self._cancelled: set[str] = set()
        self._running = ""
        self._killer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Task[None] | None = None
        self._is_closed = False
        self.restarts = 0
        self.model: ModelChoice | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        child = self._child
        return child.pid if child is not None and child.is_running else None

    async def run(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        """Do a job when its turn comes. To stop it, call `cancel`, or close the generator.

        When the process dies, the job is done once more, of pictures those that are not saved.

        Yields:
            Its events, the last of which is a DoneEvent.

        Raises:
            EngineCrashedError: The process died twice in the same picture, or cannot be started.
            GenerationCancelled: It was cancelled.
            ValueError: The client is closed, or does this job already.
            Exception: As the job failed in the process; see `exception_of`.
        """
        self._check_open()
        if command.job in self._jobs:
            raise ValueError(f"{command.job} is done already")
        self._jobs.add(command.job)
        try:
            async with self._turn:
                await self._end_idle()
                try:
                    async with aclosing(self._attempts(self._placed(command))) as events:
                        async for event in events:
                            yield event
                finally:
                    self._begin_idle()
        finally:
            self._jobs.discard(command.job)
            self._cancelled.discard(command.job)

    def cancel(self, job: str) -> None:
        """Stop a job that runs or waits; others go on. It ends with GenerationCancelled."""
        if job not in self._jobs or job in self._cancelled:
            return
        self._cancelled.add(job)
        child = self._child
        if job == self._running and child is not None:
            child.send(CancelCommand(job))
            loop = asyncio.get_running_loop()
            self._killer = loop.call_later(self._cancel_grace_s, child.kill)

    async def unload(self) -> None:
        """End the process when the jobs before have ended: the card is free, with all of it."""
        self._check_open()
        async with self._turn:
            await self._end_child(_CLOSE_S)

    async def close(self, grace_s: float = _CLOSE_S) -> None:
        """Stop everything, and end the process: at the latest after so long.

        Jobs that run or wait end with GenerationCancelled. Closing twice is harmless.
        """
        self._is_closed = True
        self._cancelled |= self._jobs
        await self._end_idle()
        await self._end_child(grace_s)
        async with self._turn:  # after those that wait, which begin nothing
            await self._end_child(grace_s)

    async def __aenter__(self) -> EngineClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("this engine client is closed")

    def _placed(self, command: JobCommand) -> JobCommand:
        """The command with its model where this client has it."""
        if not self._context or isinstance(command, UnloadCommand):
            return command
        context = {**command.model.context, **self._context}
        return dataclasses.replace(
            command, model=dataclasses.replace(command.model, context=context)
        )

    async def _attempts(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        attempt = 1
        while True:
            # One that waited may have died unnoticed: that is not the job's fault.
            is_at_fault = self.pid is None
            try:
                async with aclosing(self._once(command)) as events:
                    async for event in events:
                        is_at_fault = True
                        if isinstance(event, SavedEvent):
                            command, attempt = _without(command, event.index), 1
                        yield event
                return
            except EngineCrashedError as error:
                if command.job in self._cancelled:
                    raise GenerationCancelled("cancelled") from None
                if not is_at_fault:
                    continue
                if attempt == _ATTEMPTS:
                    raise
                crash = error
            attempt += 1
            self.restarts += 1
            yield RestartedEvent(command.job, str(crash), attempt)
            if isinstance(command, MakeCommand) and not command.pictures:
                yield DoneEvent(command.job)  # it died behind the last picture
                return

    async def _once(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        """One attempt in the process that runs, or in a new one."""
        child = await self._started()
        if command.job in self._cancelled:
            raise GenerationCancelled("cancelled")
        self._running, has_ended = command.job, False
        try:
            child.send(command)
            while not has_ended:
                event = await child.event()
                if event is None:
                    has_ended = True
                    raise _crash(child)
                has_ended = isinstance(event, DoneEvent | ErrorEvent)
                if isinstance(event, ErrorEvent):
                    raise exception_of(event)
                if isinstance(event, DoneEvent):
                    self.model = model_after(command, self.model)
                yield event
        finally:
            try:
                if not has_ended:  # nobody listens any more
                    self.cancel(command.job)
                    await _end_of_job(child)
            finally:
                self._running = ""
                if self._killer is not None:
                    self._killer.cancel()
                    self._killer = None

    async def _started(self) -> ChildProcess:
        if self._child is None or not self._child.is_running:
            await self._end_child(0)
            try:
                self._child = await ChildProcess.start(self._command, self._env)
            except OSError as error:
                raise EngineCrashedError(f"the engine process cannot be started: {error}") from None
        return self._child

    async def _end_child(self, grace_s: float) -> None:
        child, self.model = self._child, None
        if child is not None:
            await child.close(grace_s)
            if self._child is child:
                self._child = None

    def _begin_idle(self) -> None:
        if self._idle_unload_s > 0 and not self._is_closed and self._child is not None:
            self._idle = asyncio.ensure_future(self._unload_idle())

    async def _unload_idle(self) -> None:
        await asyncio.sleep(self._idle_unload_s)
        async with self._turn:
            await self._end_child(_CLOSE_S)

    async def _end_idle(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.cancel()
            await asyncio.wait([idle])


async def _end_of_job(child: ChildProcess) -> None:
    """Wait for the end of what was cancelled; who does not wait for it ends the process."""
    try:
        while (event := await child.event()) is not None:
            if isinstance(event, DoneEvent | ErrorEvent):
                return
    except asyncio.CancelledError:
        child.kill()
        raise


def _without(command: JobCommand, index: int) -> JobCommand:
    """The command for the pictures that are left."""
    if not isinstance(command, MakeCommand):
        return command
    left = tuple(one for one in command.pictures if one != index)
    return dataclasses.replace(command, pictures=left)


def _crash(child: ChildProcess) -> EngineCrashedError:
    for line in child.last_lines:  # not in the message: a log may name files
        LOGGER.error("%s", line)
    message = f"the engine process {child.reason}"
    LOGGER.error("%s", message)
    return EngineCrashedError(message, out_of_memory=child.out_of_memory)
