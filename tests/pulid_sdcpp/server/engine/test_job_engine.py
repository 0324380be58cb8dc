"""Several engines: who does which job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from pulid_sdcpp.errors import GenerationCancelled
from pulid_sdcpp.server.engine.engine_messages import (
    DoneEvent,
    EngineEvent,
    ExtractCommand,
    JobCommand,
    LoadCommand,
    ModelChoice,
    UnloadCommand,
)
from pulid_sdcpp.server.engine.job_engine import EnginePool, model_after

A, B = ModelChoice("a"), ModelChoice("b")


class Recorder:
    """Does jobs when it is let."""

    def __init__(self) -> None:
        self.model: ModelChoice | None = None
        self.jobs: list[str] = []
        self.let = asyncio.Event()
        self.cancelled: list[str] = []
        self.closed = 0

    async def run(self, command: JobCommand) -> AsyncGenerator[EngineEvent, None]:
        self.jobs.append(command.job)
        await self.let.wait()
        self.model = model_after(command, self.model)
        yield DoneEvent(command.job)

    def cancel(self, job: str) -> None:
        self.cancelled.append(job)

    async def unload(self) -> None:
        self.model = None

    async def close(self) -> None:
        self.closed += 1


def run(test: Callable[[list[Recorder], EnginePool], Awaitable[object]]) -> None:
    async def made() -> None:
        engines = [Recorder(), Recorder()]
        await asyncio.wait_for(test(engines, EnginePool(engines)), 30)

    asyncio.run(made())


async def do(pool: EnginePool, job: str, model: ModelChoice) -> list[Any]:
    return [event async for event in pool.run(LoadCommand(job, model))]


def test_a_job_goes_where_its_model_is() -> None:
    async def test(engines: list[Recorder], pool: EnginePool) -> None:
        for engine in engines:
            engine.let.set()
        await do(pool, "1", A)
        await do(pool, "2", B)
        await do(pool, "3", A)
        await do(pool, "4", B)
        assert [engine.jobs for engine in engines] == [["1", "3"], ["2", "4"]]
        assert pool.count == 2

    run(test)


def test_as_many_jobs_run_as_there_are_engines() -> None:
    async def test(engines: list[Recorder], pool: EnginePool) -> None:
        jobs = [asyncio.ensure_future(do(pool, str(number), A)) for number in range(4)]
        await asyncio.sleep(0.01)
        assert [engine.jobs for engine in engines] == [["0"], ["1"]]
        engines[1].let.set()
        await asyncio.gather(*jobs[1:])
        assert engines[1].jobs == ["1", "2", "3"]
        engines[0].let.set()
        await jobs[0]

    run(test)


def test_cancelling_reaches_the_job_s_engine_or_the_job_that_waits() -> None:
    async def test(engines: list[Recorder], pool: EnginePool) -> None:
        jobs = [asyncio.ensure_future(do(pool, str(number), A)) for number in range(3)]
        await asyncio.sleep(0.01)
        for job in ("1", "2", "never"):
            pool.cancel(job)
        assert [engine.cancelled for engine in engines] == [[], ["1"]]
        for engine in engines:
            engine.let.set()
        with pytest.raises(GenerationCancelled):
            await jobs[2]
        assert await do(pool, "2", A)  # it may come again

    run(test)


def test_a_job_is_done_once_at_a_time() -> None:
    async def test(engines: list[Recorder], pool: EnginePool) -> None:
        first = asyncio.ensure_future(do(pool, "1", A))
        await asyncio.sleep(0.01)
        with pytest.raises(ValueError, match="already"):
            await do(pool, "1", A)
        engines[0].let.set()
        await first

    run(test)


def test_all_are_closed() -> None:
    async def test(engines: list[Recorder], pool: EnginePool) -> None:
        await pool.unload()
        await pool.close()
        assert [engine.closed for engine in engines] == [1, 1]

    run(test)
    with pytest.raises(ValueError, match="an engine"):
        EnginePool([])


def test_what_is_loaded_after_a_job() -> None:
    photos = ExtractCommand("j", "folder", A, ("a.jpg",))
    assert model_after(LoadCommand("j", A), None) == A
    assert model_after(UnloadCommand("j"), A) is None
    assert model_after(photos, A) == A
    assert model_after(photos, B) is None
