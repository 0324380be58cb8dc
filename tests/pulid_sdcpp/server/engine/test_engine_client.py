"""The engine process, with an engine that computes nothing: jobs, deaths, cancelling, no rest."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_engine_process
from engine_runs import events_of
from pulid_sdcpp.errors import GenerationCancelled, ModelFileError
from pulid_sdcpp.server.engine.engine_client import EngineClient
from pulid_sdcpp.server.engine.engine_errors import EngineCrashedError
from pulid_sdcpp.server.engine.engine_messages import (
    DoneEvent,
    LoadCommand,
    MakeCommand,
    ModelChoice,
    PreviewEvent,
    RestartedEvent,
    SavedEvent,
    StageEvent,
    StepEvent,
    UnloadCommand,
)

PROGRAM = Path(fake_engine_process.__file__)
ROOT = PROGRAM.parents[2]
MODEL = ModelChoice("fake")
FDS = Path("/proc/self/fd")


def client(quit_grace_s: float = 10, **options: Any) -> EngineClient:
    paths = os.pathsep.join(str(ROOT / one) for one in ("tests", "", "extractor"))
    command = (sys.executable, str(PROGRAM), str(quit_grace_s))
    return EngineClient(command=command, env={"PYTHONPATH": paths}, **options)


def make(folder: Path, prompt: str = "plain", job: str = "job_1", **options: Any) -> MakeCommand:
    request = {"prompt": prompt, "seed": 7, **options.pop("request", {})}
    return MakeCommand(job, str(folder), options.pop("model", MODEL), request, **options)


def run(test: Callable[[], Awaitable[object]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 60)

    asyncio.run(limited())


def is_alive(pid: int | None) -> bool:
    if pid is None or os.name == "nt":  # there, a signal of 0 is one
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    threads, files = set(threading.enumerate()), open_files()
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while left := set(threading.enumerate()) - threads:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
    assert open_files() == files


def open_files() -> int:
    return len(list(FDS.iterdir())) if FDS.is_dir() else 0


def test_a_job_s_pictures_are_saved_in_its_folder(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            command = make(tmp_path, request={"batch_count": 2}, pictures=(0, 1), preview="proj")
            events = await events_of(engine, command)
            pid = engine.pid
            assert engine.model == MODEL
        saved = [one for one in events if isinstance(one, SavedEvent)]
        assert [(one.index, one.seed, one.file) for one in saved] == [
            (0, 7, "000.png"), (1, 8, "001.png")
        ]  # fmt: skip
        assert (saved[0].width, saved[0].height) == (32, 16)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["000.png", "001.png"]
        assert StageEvent("job_1", "load", 0, 2) in events
        assert StepEvent("job_1", "denoise", 3, 3, 0.5, 1, 2) in events
        assert [one for one in events if isinstance(one, PreviewEvent)]
        assert events[-1] == DoneEvent("job_1")
        assert not is_alive(pid)

    run(test)


def test_what_is_printed_is_no_message(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            events = await events_of(engine, make(tmp_path, "print"))
            assert events[-1] == DoneEvent("job_1")
            child: Any = engine._child
            assert {"native words", "a library's words"} <= set(child.last_lines)

    run(test)


def test_a_failed_job_says_why_and_the_next_is_made(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            with pytest.raises(ValueError, match="steps"):
                await events_of(engine, make(tmp_path, request={"steps": 0}))
            with pytest.raises(ValueError, match="job's folder"):
                await events_of(engine, make(tmp_path, request={"init_image": "../x.png"}))
            with pytest.raises(ModelFileError, match="missing"):
                await events_of(engine, make(tmp_path, model=ModelChoice("missing")))
            pid = engine.pid
            assert (await events_of(engine, make(tmp_path)))[-1] == DoneEvent("job_1")
            assert engine.pid == pid

    run(test)


def test_jobs_wait_for_each_other_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        ended = []

        async def one(engine: EngineClient, job: str) -> None:
            await events_of(engine, make(tmp_path, job=job))
            ended.append(job)

        async with client() as engine:
            await asyncio.gather(*(one(engine, f"job_{number}") for number in range(5)))
        assert ended == [f"job_{number}" for number in range(5)]

    run(test)


def test_a_cancelled_job_ends_and_the_process_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            waiting = asyncio.ensure_future(events_of(engine, make(tmp_path, job="job_3")))

            def stop(event: Any) -> None:
                if isinstance(event, StepEvent):
                    engine.cancel("job_1")

            with pytest.raises(GenerationCancelled):
                await events_of(engine, make(tmp_path, "slow", request={"steps": 150}), stop)
            assert (await waiting)[-1] == DoneEvent("job_3")
            assert engine.restarts == 0

    run(test)


def test_a_job_that_waits_is_cancelled_without_being_begun(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            first = asyncio.ensure_future(
                events_of(engine, make(tmp_path, "slow", request={"steps": 20}))
            )
            await asyncio.sleep(0)
            second = asyncio.ensure_future(events_of(engine, make(tmp_path, job="job_2")))
            await asyncio.sleep(0)
            engine.cancel("job_2")
            assert (await first)[-1] == DoneEvent("job_1")
            with pytest.raises(GenerationCancelled):
                await second

    run(test)


def test_who_does_not_listen_cancels(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            command = make(tmp_path, "slow", request={"steps": 150})
            listening = asyncio.ensure_future(events_of(engine, command))
            while not engine._running:
                await asyncio.sleep(0.01)
            pid = engine.pid
            listening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listening
            assert (await events_of(engine, make(tmp_path)))[-1] == DoneEvent("job_1")
            assert engine.pid == pid

    run(test)


def test_after_the_grace_the_process_is_ended(tmp_path: Path) -> None:
    async def test() -> None:
        async with client(cancel_grace_s=0.1) as engine:
            pids = []

            def stop(event: Any) -> None:
                if isinstance(event, StepEvent):
                    pids.append(engine.pid)
                    engine.cancel("job_1")

            with pytest.raises(GenerationCancelled):
                await events_of(engine, make(tmp_path, "hang"), stop)
            (pid,) = pids
            assert (await events_of(engine, make(tmp_path)))[-1] == DoneEvent("job_1")
            assert engine.pid != pid
            assert not is_alive(pid)

    run(test)


def test_a_death_is_made_good_from_the_picture_it_was_at(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.write_text("8")
    request = {"batch_count": 3, "negative_prompt": str(deaths)}

    async def test() -> None:
        async with client() as engine:
            command = make(tmp_path, "die", request=request, pictures=(0, 1, 2))
            events = await events_of(engine, command)
            assert engine.restarts == 1
        saved = [one.index for one in events if isinstance(one, SavedEvent)]
        assert saved == [0, 1, 2]
        (again,) = [one for one in events if isinstance(one, RestartedEvent)]
        assert again.attempt == 2
        if os.name != "nt":
            assert "SIGKILL" in again.reason

    run(test)


def test_a_second_death_is_the_job_s_end_and_not_the_client_s(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.write_text("8 8")
    request = {"batch_count": 2, "negative_prompt": str(deaths)}

    async def test() -> None:
        async with client() as engine:
            events: list[Any] = []
            command = make(tmp_path, "die", request=request, pictures=(0, 1))
            with pytest.raises(EngineCrashedError, match="the engine process was ended") as caught:
                await events_of(engine, command, events.append)
            saved = [one.index for one in events if isinstance(one, SavedEvent)]
            assert caught.value.code == "engine_crashed"
            assert saved == [0]
            assert (await events_of(engine, make(tmp_path)))[-1] == DoneEvent("job_1")

    run(test)


def test_a_program_that_cannot_be_started_is_a_crash(tmp_path: Path) -> None:
    async def test() -> None:
        async with EngineClient(command=(str(tmp_path / "nothing"),)) as engine:
            with pytest.raises(EngineCrashedError, match="cannot be started"):
                await events_of(engine, make(tmp_path))
        async with EngineClient(command=(sys.executable, "-c", "raise SystemExit(3)")) as engine:
            with pytest.raises(EngineCrashedError, match="exit status 3"):
                await events_of(engine, make(tmp_path))
        words = "import time; print('no message', flush=True); time.sleep(600)"
        async with EngineClient(command=(sys.executable, "-c", words)) as engine:
            with pytest.raises(EngineCrashedError, match="no message"):
                await events_of(engine, make(tmp_path))

    run(test)


@pytest.mark.skipif(os.name == "nt", reason="kill by signal")
def test_a_process_that_is_killed_in_the_middle_of_a_line_was_killed(tmp_path: Path) -> None:
    program = (
        'import os, sys, time; os.write(1, b\'{"event": "previ\'); os.close(1); sys.stdout = None;'
        " time.sleep(0.3); os.kill(os.getpid(), 9)"
    )

    async def test() -> None:
        async with EngineClient(command=(sys.executable, "-c", program)) as engine:
            with pytest.raises(EngineCrashedError, match="was ended by SIGKILL"):
                await events_of(engine, make(tmp_path))

    run(test)


def test_a_killed_process_is_given_no_other_job(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            assert (await events_of(engine, make(tmp_path)))[-1] == DoneEvent("job_1")
            child = engine._child
            assert child is not None
            child.kill()
            assert engine.pid is None
            events = await events_of(engine, make(tmp_path, job="job_2"))
            assert not [one for one in events if isinstance(one, RestartedEvent)]

    run(test)


@pytest.mark.skipif(os.name == "nt", reason="kill by signal")
def test_a_death_before_the_job_came_is_not_the_job_s(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.write_text("7")

    async def test() -> None:
        async with client() as engine:
            await events_of(engine, make(tmp_path))
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)  # and no time to notice it
            command = make(tmp_path, "die", job="job_2", request={"negative_prompt": str(deaths)})
            events = await events_of(engine, command)
            assert [type(one) for one in events].count(RestartedEvent) == 1
            assert engine.restarts == 1
            assert events[-1] == DoneEvent("job_2")

    run(test)


def test_each_picture_may_cost_the_process_once(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.write_text("8 9")
    request = {"batch_count": 3, "negative_prompt": str(deaths)}

    async def test() -> None:
        async with client() as engine:
            command = make(tmp_path, "die", request=request, pictures=(0, 1, 2))
            events = await events_of(engine, command)
            assert engine.restarts == 2
        assert [one.index for one in events if isinstance(one, SavedEvent)] == [0, 1, 2]

    run(test)


def test_an_idle_process_ends_and_comes_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with client(idle_unload_s=0.05) as engine:
            await events_of(engine, LoadCommand("job_0", MODEL))
            pid = engine.pid
            while engine.pid is not None:
                await asyncio.sleep(0.01)
            assert not is_alive(pid)
            assert engine.model is None
            await events_of(engine, make(tmp_path))
            assert engine.pid not in (None, pid)

    run(test)


def test_unloading_ends_the_process(tmp_path: Path) -> None:
    async def test() -> None:
        async with client() as engine:
            await events_of(engine, make(tmp_path))
            await events_of(engine, UnloadCommand("job_2"))
            assert engine.model is None
            pid = engine.pid
            await engine.unload()
            assert engine.pid is None
            assert not is_alive(pid)

    run(test)


@pytest.mark.parametrize("prompt", ["slow", "hang"])
def test_closing_ends_what_runs_and_what_waits(tmp_path: Path, prompt: str) -> None:
    async def test() -> None:
        engine = client()
        command = make(tmp_path, prompt, request={"steps": 150})
        running = asyncio.ensure_future(events_of(engine, command))
        waiting = asyncio.ensure_future(events_of(engine, make(tmp_path, job="job_2")))
        while not engine._running:
            await asyncio.sleep(0.01)
        pid = engine.pid
        await asyncio.sleep(0.5)
        await engine.close(5 if prompt == "slow" else 0.2)
        for job in (running, waiting):
            with pytest.raises(GenerationCancelled):
                await job
        assert not is_alive(pid)
        with pytest.raises(ValueError, match="closed"):
            await events_of(engine, make(tmp_path))
        await engine.close()

    run(test)


def test_the_model_is_where_the_client_has_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with client(context={"backend": "cpu"}) as engine:
            await events_of(engine, make(tmp_path))
            assert engine.model == ModelChoice("fake", {"backend": "cpu"})

    run(test)


@pytest.mark.skipif(os.name == "nt", reason="kill by signal")
@pytest.mark.parametrize("prompt", ["plain", "hang"])
def test_the_process_ends_with_its_parent(tmp_path: Path, prompt: str) -> None:
    """A server that is killed leaves no engine behind, not even one that does not listen."""
    program = f"""
import asyncio, sys
sys.path[:0] = {[str(ROOT / "tests"), str(Path(__file__).parent), *sys.path]!r}
import test_engine_client as own
from pathlib import Path
async def main():
    engine = own.client(quit_grace_s=0.2)
    events = engine.run(own.make(Path({str(tmp_path)!r}), {prompt!r}))
    async for event in events:
        if isinstance(event, own.StepEvent):
            print(engine.pid, flush=True)
            await asyncio.sleep(600)
asyncio.run(main())
"""

    async def test() -> None:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        await parent.wait()
        deadline = time.monotonic() + 20
        while is_alive(pid) and not is_zombie(pid):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    run(test)


def is_zombie(pid: int) -> bool:
    """Whether it has ended, and only its new parent has not asked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
