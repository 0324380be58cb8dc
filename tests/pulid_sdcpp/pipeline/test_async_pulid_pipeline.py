"""The pipeline in an event loop: in order, never blocking it, each task cancelled by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_engine import Call, FakeEngine
from fake_pipeline import pipelines
from long_form import times
from pulid_sdcpp import (
    AsyncPulidPipeline,
    Identity,
    ImageFileError,
    ProgressEvent,
    PulidFlux,
    Result,
    UnfinishedPicture,
)
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER

IS_SHIPPED = (PACK_FOLDER / MANIFEST_NAME).is_file()
REQUIRE_POCKET = os.environ.get("PULID_REQUIRE_POCKET") == "1"


class WorkingEngine(FakeEngine):
    """Each step takes `step_s`, which nothing shortens: an evaluation of the model.

    With `beats`, it also waits for the loop: one that waits for the engine would wait forever.
    """

    step_s = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.ended, self.steps = 0, 0
        self.beats: list[None] | None = None

    def step(self, call: Call, step: int) -> None:
        super().step(call, step)
        if step:
            before = len(self.beats or ())
            time.sleep(self.step_s)
            deadline = time.monotonic() + 30
            while self.beats is not None and len(self.beats) == before:
                assert time.monotonic() < deadline, "the loop waits for the engine"
                time.sleep(0.001)
            self.steps += 1

    def generate(self, *args: Any, **options: Any) -> Any:
        try:
            return super().generate(*args, **options)
        finally:
            self.ended += 1


@pytest.fixture
def make() -> Iterator[Callable[..., PulidFlux]]:
    with pipelines() as make:
        yield make


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while left := [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("pulid-") and thread.name != "pulid-engine"
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[list[None]]:
    """As many items as the loop has come round."""
    beats: list[None] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.001)
            beats.append(None)

    beating = asyncio.ensure_future(beat())
    yield beats
    beating.cancel()


def run(test: Any) -> Any:
    """In a loop that says when a callback is slow or nobody awaits a coroutine."""
    return asyncio.run(asyncio.wait_for(test, 600))


def test_methods_are_the_pipeline_s_own(
    make: Callable[..., PulidFlux], identity_file: Path
) -> None:
    engine = FakeEngine()

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine, preset="mine")) as pipeline:
            alice = await pipeline.enroll(identity_file.read_bytes())
            assert isinstance(alice, Identity)
            await pipeline.load()
            result = await pipeline.generate("a face", alice, weight=0.8, seed=7, height=32)
            assert (result.image.size, result.seed) == ((32, 32), 7)
            assert (engine.calls[0].person.weight, engine.calls[0].identity) == (0.8, alice)
            each = pipeline.generate_each([{"seed": 1}, {"seed": 2}], prompt="p", identity=alice)
            assert [one.seed async for one in each] == [1, 2]
            await pipeline.free_extractor()
            assert (pipeline.preset, pipeline.plan, pipeline.settings["steps"]) == ("mine", None, 3)
            assert pipeline.context.diffusion_model_path == "flux.gguf"
        assert engine.closed == 1
        await pipeline.close()
        with pytest.raises(ValueError, match="closed"):
            await pipeline.generate("p")

    run(test())


def test_tasks_are_served_in_order(make: Callable[..., PulidFlux]) -> None:
    engine = FakeEngine()

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine)) as pipeline:
            asked = [pipeline.generate(f"p{number}") for number in range(20)]
            results = await asyncio.gather(*asked)
        assert [result.metadata.prompt for result in results] == [f"p{n}" for n in range(20)]
        assert [call.picture.prompt for call in engine.calls] == [f"p{n}" for n in range(20)]

    run(test())


def test_mistakes_are_refused_while_another_picture_is_made(make: Callable[..., PulidFlux]) -> None:
    engine = WorkingEngine()

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine)) as pipeline:
            running = asyncio.ensure_future(pipeline.generate("long", steps=50))
            for options, error in (
                ({"steps": 0}, ValueError),
                ({"stepz": 3}, TypeError),
                ({"init_image": b"none"}, ImageFileError),
            ):
                with pytest.raises(error):
                    await pipeline.generate("p", **options)  # type: ignore[arg-type]
            assert not running.done()
            await running

    run(test())


def test_a_stream_tells_every_step_and_ends_with_the_result(
    make: Callable[..., PulidFlux],
) -> None:
    async def test() -> None:
        async with AsyncPulidPipeline(make(FakeEngine())) as pipeline:
            items = [item async for item in pipeline.stream("p", previews=True, seed=5)]
            events = [item for item in items if isinstance(item, ProgressEvent)]
            assert [(e.stage, e.step) for e in events if e.stage == "denoise"] == [
                ("denoise", step) for step in range(4)
            ]
            previews = [item for item in items if isinstance(item, UnfinishedPicture)]
            assert [preview.step for preview in previews] == [1, 2, 3]
            assert isinstance(items[-1], Result)
            assert items[-1].seed == 5
            with pytest.raises(ValueError, match="steps is 0"):
                async for _ in pipeline.stream("p", steps=0):
                    pass

    run(test())


def test_a_stream_that_is_left_is_cancelled(make: Callable[..., PulidFlux]) -> None:
    engine = WorkingEngine()

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine)) as pipeline:
            async with contextlib.aclosing(pipeline.stream("long", steps=500)) as items:
                async for item in items:
                    if isinstance(item, ProgressEvent) and item.step == 2:
                        break
            began = time.monotonic()
            await pipeline.generate("next", steps=1)
            assert time.monotonic() - began < 1

    run(test())


def test_what_goes_wrong_in_the_engine_is_raised(make: Callable[..., PulidFlux]) -> None:
    async def test() -> None:
        async with AsyncPulidPipeline(make(FakeEngine(KeyError("mine")))) as pipeline:
            with pytest.raises(KeyError, match="mine"):
                await pipeline.generate("p")
            with pytest.raises(KeyError, match="mine"):
                async for _ in pipeline.stream("p"):
                    pass

    run(test())


def test_a_hundred_requests_of_which_thirty_are_cancelled(make: Callable[..., PulidFlux]) -> None:
    """None is lost, the order is kept, and the loop does not wait for the engine."""
    engine, chance = WorkingEngine(), random.Random(3)

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine)) as pipeline, heartbeat() as engine.beats:
            tasks = [
                asyncio.ensure_future(pipeline.generate(f"p{number}", seed=number))
                for number in range(100)
            ]
            chosen = chance.sample(range(100), 30)
            for number in chosen:
                await asyncio.sleep(chance.random() * 0.05)
                tasks[number].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for number, outcome in enumerate(outcomes):
                if isinstance(outcome, Result):
                    assert (outcome.seed, outcome.metadata.prompt) == (number, f"p{number}")
                else:
                    assert isinstance(outcome, asyncio.CancelledError)
                    assert number in chosen
            made = [call.picture.prompt for call in engine.calls]
            assert made == sorted(made, key=lambda prompt: int(prompt[1:]))

    run(test())


def test_a_cancelled_task_frees_the_engine_within_one_evaluation(
    make: Callable[..., PulidFlux],
) -> None:
    engine, chance = WorkingEngine(), random.Random(4)
    engine.step_s = 0.05

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine)) as pipeline:
            for _ in range(10):
                task = asyncio.ensure_future(pipeline.generate("long", steps=1000))
                await asyncio.sleep(0.02 + chance.random() * 0.1)
                ended, steps = engine.ended, engine.steps
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                while engine.ended == ended:
                    await asyncio.sleep(0.001)
                assert engine.steps - steps <= 1

    run(test())


def test_a_waiting_task_that_is_cancelled_is_never_made(make: Callable[..., PulidFlux]) -> None:
    engine = WorkingEngine()

    async def test() -> None:
        async with AsyncPulidPipeline(make(engine)) as pipeline:
            first = asyncio.ensure_future(pipeline.generate("first", steps=30))
            second = asyncio.ensure_future(pipeline.generate("second"))
            third = asyncio.ensure_future(pipeline.generate("third"))
            await asyncio.sleep(0.05)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            assert not first.done()
            await asyncio.gather(first, third)
        assert [call.picture.prompt for call in engine.calls] == ["first", "third"]

    run(test())


def test_a_timeout_cancels_the_call(make: Callable[..., PulidFlux]) -> None:
    async def test() -> None:
        async with AsyncPulidPipeline(make(WorkingEngine())) as pipeline:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pipeline.generate("long", steps=1000), 0.05)
            assert (await pipeline.generate("next")).image

    run(test())


def test_a_loop_that_ends_with_tasks_running_leaves_nothing(make: Callable[..., PulidFlux]) -> None:
    engine = WorkingEngine()
    pipeline = make(engine)

    async def test() -> None:
        service = AsyncPulidPipeline(pipeline)
        tasks = [asyncio.ensure_future(service.generate("long", steps=1000)) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert not tasks[0].done()

    began = time.monotonic()
    asyncio.run(test())
    pipeline.generate("after")
    assert time.monotonic() - began < 3
    assert len(engine.calls) == 2


def test_closing_is_finished_when_its_task_is_cancelled(make: Callable[..., PulidFlux]) -> None:
    engine = WorkingEngine()

    async def test() -> None:
        pipeline = AsyncPulidPipeline(make(engine))
        running = asyncio.ensure_future(pipeline.generate("p", steps=20))
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(pipeline.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert (await running).image
        await pipeline.close()
        assert engine.closed == 1

    run(test())


@pytest.mark.engine
@pytest.mark.skipif(not IS_SHIPPED and not REQUIRE_POCKET, reason="no pocket model in this folder")
@pytest.mark.long
def test_many_requests_of_the_pocket_model() -> None:
    chance, count, stopped = random.Random(5), times(30, 100), times(9, 30)

    async def test() -> None:
        options: Any = {"width": 16, "height": 16, "steps": 1}
        async with (
            await AsyncPulidPipeline.from_preset("pocket", backend="cpu") as pipeline,
            heartbeat() as beats,
        ):
            await pipeline.load()
            tasks = [
                asyncio.ensure_future(pipeline.generate(f"p{n % 5}", seed=n, **options))
                for n in range(count)
            ]
            chosen = chance.sample(range(count), stopped)
            for number in chosen:
                await asyncio.sleep(chance.random() * 0.02)
                tasks[number].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for number, outcome in enumerate(outcomes):
                if isinstance(outcome, Result):
                    assert outcome.seed == number
                else:
                    assert isinstance(outcome, asyncio.CancelledError), outcome
                    assert number in chosen
            again = await pipeline.generate("p0", seed=0, **options)
            if isinstance(outcomes[0], Result):
                assert again.image.tobytes() == outcomes[0].image.tobytes()
            # A loop that waits for pictures comes round once for each.
            assert len(beats) > 2 * (count - stopped)

    run(test())


def test_a_pull_that_is_cancelled_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def pull(name: str, *, on_progress: Any, **options: Any) -> None:
        try:
            for done in range(10_000):
                on_progress("flux.gguf", done, 10_000)
                time.sleep(0.002)
        finally:
            ended.set()

    monkeypatch.setattr("pulid_sdcpp.pipeline.pulid_pipeline.pull_preset", pull)

    async def test() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(AsyncPulidPipeline.from_preset("pocket", pull=True), 0.05)

    run(test())
    assert ended.wait(5)
