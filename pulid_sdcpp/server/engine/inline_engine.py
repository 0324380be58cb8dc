"""The engine in a thread of this process: for tests, and where a program serves pictures itself.

A crash of native code ends the program, and a cancelled job is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor

from .engine_errors import exception_of
from .engine_messages import (
    DoneEvent,
    EngineEvent,
    ErrorEvent,
    JobCommand,
    LogEvent,
    ModelChoice,
)
from .engine_worker import CreatePipeline, EngineWorker, create_pipeline_of
from .job_engine import model_after

__all__ = ["InlineEngine"]


class InlineEngine:
    """Does jobs one after another in a thread, as `EngineClient` does in a process.

    Args:
        create_pipeline: Makes the pipeline of a model.
    """

    def __init__(self, create_pipeline: CreatePipeline = create_pipeline_of) -> None:
        self._worker = EngineWorker(self._send, create_pipeline)
        self._thread = ThreadPoolExecutor(1, "pulid-jobs")
        self._listeners: dict[str, Callable[[EngineEvent], None]] = {}
        self._is_closed = False
        self.model: ModelChoice | None = None

    async def run(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        """Do a job when its turn comes. To stop it, call `cancel`, or close the generator.

        Yields:
            Its events, the last of which is a DoneEvent.

        Raises:
            GenerationCancelled: It was cancelled.
            ValueError: The engine is closed, or does this job already.
            Exception: As the job failed; see `exception_of`.
        """
        if self._is_closed:
            raise ValueError("this engine is closed")
        if command.job in self._listeners:
            raise ValueError(f"{command.job} is done already")
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[EngineEvent] = asyncio.Queue()

        def tell(event: EngineEvent) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        self._listeners[command.job] = tell
        self._worker.accept(command)
        doing = asyncio.wrap_future(self._thread.submit(self._worker.do, command))
        try:
            while True:
                event = await events.get()
                if isinstance(event, ErrorEvent):
                    raise exception_of(event)
                if isinstance(event, DoneEvent):
                    self.model = model_after(command, self.model)
                yield event
                if isinstance(event, DoneEvent):
                    return
        finally:
            self._worker.cancel(command.job)  # nobody listens any more
            await asyncio.wait([doing])
            del self._listeners[command.job]

    def cancel(self, job: str) -> None:
        """Stop a job that runs or waits; others go on. It ends with GenerationCancelled."""
        self._worker.cancel(job)

    async def unload(self) -> None:
        """Free the model, when the jobs before have ended."""
        if self._is_closed:
            raise ValueError("this engine is closed")
        self.model = None
        await asyncio.wrap_future(self._thread.submit(self._worker.close))

    async def close(self) -> None:
        """Stop everything, and free it. Closing twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self.model = None
        self._worker.stop()
        closing = self._thread.submit(self._worker.close)
        self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))

    async def __aenter__(self) -> InlineEngine:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _send(self, event: EngineEvent) -> None:
        if not isinstance(event, LogEvent):
            self._listeners[event.job](event)
