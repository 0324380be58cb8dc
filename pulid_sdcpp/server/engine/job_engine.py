"""What the queue needs of an engine, wherever that runs; and several of them, one a device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from ...errors import GenerationCancelled
from .engine_messages import (
    EngineEvent,
    ExtractCommand,
    JobCommand,
    LoadCommand,
    MakeCommand,
    ModelChoice,
)

__all__ = ["EnginePool", "JobEngine", "model_after"]


def model_after(command: JobCommand, before: ModelChoice | None) -> ModelChoice | None:
    """The model that is there when a job has ended well."""
    if isinstance(command, MakeCommand | LoadCommand):
        return command.model
    # An extraction needs no model, but that of another preset closes the one that is there.
    is_same = isinstance(command, ExtractCommand) and command.model == before
    return before if is_same else None


class JobEngine(Protocol):
    """Does jobs one after another: an `EngineClient` or an `InlineEngine`."""

    @property
    def model(self) -> ModelChoice | None:
        """Of the last job that came to its end, while it is still there."""

    def run(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        """Do a job: its events, the last of which is a DoneEvent; as an exception, why not."""

    def cancel(self, job: str) -> None:
        """Stop a job that runs or waits; it ends with GenerationCancelled."""

    async def unload(self) -> None:
        """Free the model, when the jobs before have ended."""

    async def close(self) -> None:
        """Stop everything, and free it."""


class EnginePool:
    """Engines on several devices: a job is done by one that is free, if possible with its model.

    Jobs begin in the order of asking. Use it in one event loop.

    Args:
        engines: At least one; the pool closes them.
    """

    def __init__(self, engines: Sequence[JobEngine]) -> None:
        if not engines:
            raise ValueError("a pool needs an engine")
        self._engines = tuple(engines)
        self._free = list(engines)
        self._turns = asyncio.Semaphore(len(engines))
        self._places: dict[str, JobEngine | None] = {}  # None: it waits
        self._cancelled: set[str] = set()

    @property
    def count(self) -> int:
        """How many jobs can run at once."""
        return len(self._engines)

    async def run(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        """Do a job, as `JobEngine.run` does."""
        if command.job in self._places:
            raise ValueError(f"{command.job} is done already")
        self._places[command.job] = None
        try:
            async with self._turns:
                if command.job in self._cancelled:
                    raise GenerationCancelled("cancelled")
                engine = self._places[command.job] = self._chosen(command)
                self._free.remove(engine)
                try:
                    async with aclosing(engine.run(command)) as events:
                        async for event in events:
                            yield event
                finally:
                    self._free.append(engine)
        finally:
            del self._places[command.job]
            self._cancelled.discard(command.job)

    def cancel(self, job: str) -> None:
        """Stop a job that runs or waits; it ends with GenerationCancelled."""
        if job not in self._places:
            return
        self._cancelled.add(job)
        engine = self._places[job]
        if engine is not None:
            engine.cancel(job)

    async def unload(self) -> None:
        """Free the models, each when its engine's job has ended."""
        await asyncio.gather(*(engine.unload() for engine in self._engines))

    async def close(self) -> None:
        """Stop everything, and free it."""
        self._cancelled |= set(self._places)
        await asyncio.gather(*(engine.close() for engine in self._engines))

    def _chosen(self, command: JobCommand) -> JobEngine:
        """Of those that are free, one with the model; else one with none; else the longest idle."""
        wanted = command.model if isinstance(command, MakeCommand | LoadCommand) else None
        for model in (wanted, None):
            for engine in self._free:
                if engine.model == model:
                    return engine
        return self._free[0]
