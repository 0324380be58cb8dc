"""The engine in a thread: what the process does, without it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_runs import events_of
from fake_engine_process import create_fake_pipeline
from pulid_sdcpp.errors import GenerationCancelled
from pulid_sdcpp.server.engine.engine_messages import (
    DoneEvent,
    ExtractCommand,
    LoadCommand,
    MakeCommand,
    ModelChoice,
    SavedEvent,
    StepEvent,
    UnloadCommand,
)
from pulid_sdcpp.server.engine.inline_engine import InlineEngine

MODEL = ModelChoice("fake")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def run(test: Callable[[InlineEngine], Awaitable[object]]) -> None:
    async def limited() -> None:
        async with InlineEngine(create_fake_pipeline) as engine:
            await asyncio.wait_for(test(engine), 60)

    asyncio.run(limited())


def make(folder: Path, prompt: str = "plain", job: str = "job_1", **request: Any) -> MakeCommand:
    return MakeCommand(job, str(folder), MODEL, {"prompt": prompt, "seed": 7, **request})


def test_a_job_is_done(tmp_path: Path) -> None:
    async def test(engine: InlineEngine) -> None:
        events = await events_of(engine, make(tmp_path))
        assert SavedEvent in map(type, events)
        assert events[-1] == DoneEvent("job_1")
        assert (tmp_path / "000.png").is_file()
        assert engine.model == MODEL
        assert (await events_of(engine, LoadCommand("job_2", MODEL)))[-1] == DoneEvent("job_2")
        await events_of(engine, UnloadCommand("job_3"))
        assert engine.model is None

    run(test)


def test_a_job_is_cancelled_while_it_runs_and_while_it_waits(tmp_path: Path) -> None:
    async def test(engine: InlineEngine) -> None:
        def stop(event: Any) -> None:
            if isinstance(event, StepEvent):
                engine.cancel("job_1")
                engine.cancel("job_2")

        command = make(tmp_path, "slow", steps=150)
        first = asyncio.ensure_future(events_of(engine, command, stop))
        await asyncio.sleep(0)
        others = [
            asyncio.ensure_future(events_of(engine, make(tmp_path, job=f"job_{number}")))
            for number in (2, 3)
        ]
        for job in (first, others[0]):
            with pytest.raises(GenerationCancelled):
                await job
        assert (await others[1])[-1] == DoneEvent("job_3")

    run(test)


def test_who_does_not_listen_cancels(tmp_path: Path) -> None:
    async def test(engine: InlineEngine) -> None:
        events = engine.run(make(tmp_path, "slow", steps=150))
        await anext(events)
        await events.aclose()
        assert not list(tmp_path.iterdir())
        assert (await events_of(engine, make(tmp_path)))[-1] == DoneEvent("job_1")

    run(test)


def test_a_failure_is_the_exception_itself(tmp_path: Path) -> None:
    async def test(engine: InlineEngine) -> None:
        with pytest.raises(ValueError, match="steps"):
            await events_of(engine, make(tmp_path, steps=0))
        wrong = MakeCommand("j", str(tmp_path), MODEL, {"prompt": "p"}, (1,))
        with pytest.raises(ValueError, match="the request has 1"):
            await events_of(engine, wrong)

    run(test)


def test_an_identity_file_is_an_identity(tmp_path: Path, identity_file: Path) -> None:
    (tmp_path / "a.pulidembd").write_bytes(identity_file.read_bytes())

    async def test(engine: InlineEngine) -> None:
        command = ExtractCommand("j", str(tmp_path), MODEL, ("a.pulidembd",), target="b.pulidembd")
        (end,) = await events_of(engine, command)
        assert end.result["has_unconditional"] is True
        assert end.result["faces"] == []
        assert (tmp_path / "b.pulidembd").is_file()

    run(test)


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    async def test(engine: InlineEngine) -> None:
        await engine.close()
        with pytest.raises(ValueError, match="closed"):
            await events_of(engine, make(tmp_path))
        with pytest.raises(ValueError, match="closed"):
            await engine.unload()

    run(test)
