"""One call is cancelled, wherever it is, and no other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fake_engine import Call, FakeEngine
from fake_pipeline import pipelines
from pulid_sdcpp import CancelToken, GenerationCancelled, Identity, ProgressEvent, PulidFlux
from pulid_sdcpp.native import thread as native_thread
from pulid_sdcpp.pipeline.fair_lock import FairLock

STEP_S = 0.002


class WorkingEngine(FakeEngine):
    """Each step takes a while, which `cancel` does not shorten: one evaluation."""

    def step(self, call: Call, step: int) -> None:
        super().step(call, step)
        if step:
            time.sleep(STEP_S)


@pytest.fixture
def make() -> Iterator[Callable[..., PulidFlux]]:
    with pipelines() as make:
        yield make


class Caller(threading.Thread):
    """Runs a call; its result or exception is `outcome`."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call, self.outcome = call, None
        self.start()

    def run(self) -> None:
        try:
            self.outcome: Any = self._call()
        except Exception as error:
            self.outcome = error

    def get(self) -> Any:
        self.join(10)
        assert not self.is_alive()
        return self.outcome


def waiting(pipeline: PulidFlux, count: int) -> None:
    while len(pipeline._turns._lock._waiting) != count:
        time.sleep(0.001)


class Held(FakeEngine):
    """Its first picture waits for `go` before its second step."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.reached = threading.Event(), threading.Event()

    def step(self, call: Call, step: int) -> None:
        if step == 1 and not self.go.is_set():
            self.reached.set()
            self.go.wait(10)
        super().step(call, step)


def test_a_waiting_call_ends_at_once_and_the_others_keep_their_places(
    make: Callable[..., PulidFlux],
) -> None:
    engine = Held()
    pipeline = make(engine)
    first = Caller(lambda: pipeline.generate("first"))
    engine.reached.wait()
    token = CancelToken()
    queue = []
    for number, prompt in enumerate(("second", "cancelled", "third"), 1):
        own = {"cancel": token} if prompt == "cancelled" else {}
        queue.append(Caller(lambda p=prompt, own=own: pipeline.generate(p, **own)))
        waiting(pipeline, number)
    began = time.monotonic()
    token.cancel()
    assert isinstance(queue[1].get(), GenerationCancelled)
    assert time.monotonic() - began < 1
    assert first.outcome is None
    engine.go.set()
    for caller in (first, queue[0], queue[2]):
        assert caller.get().image
    assert [call.picture.prompt for call in engine.calls] == ["first", "second", "third"]


def test_the_running_call_ends_at_its_next_step(make: Callable[..., PulidFlux]) -> None:
    engine = Held()
    pipeline, token = make(engine), CancelToken()
    running = Caller(lambda: pipeline.generate("a", cancel=token))
    engine.reached.wait()
    after = Caller(lambda: pipeline.generate("b"))
    waiting(pipeline, 1)
    token.cancel()
    engine.go.set()
    assert isinstance(running.get(), GenerationCancelled)
    assert after.get().metadata.prompt == "b"


def test_a_token_reaches_the_engine_while_it_is_its_own_picture_only(
    make: Callable[..., PulidFlux], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Held()
    stops: list[str] = []
    monkeypatch.setattr(engine, "cancel", lambda: stops.append(engine.calls[-1].picture.prompt))
    pipeline, mine, another = make(engine), CancelToken(), CancelToken()
    engine.go.set()
    pipeline.generate("zero", cancel=another)
    engine.go.clear()
    running = Caller(lambda: pipeline.generate("one", cancel=mine))
    engine.reached.wait()
    another.cancel()  # its picture is made
    assert stops == []
    mine.cancel()
    mine.cancel()
    assert stops == ["one"]
    engine.go.set()
    assert isinstance(running.get(), GenerationCancelled)


def test_it_is_cancelled_while_loading(make: Callable[..., PulidFlux]) -> None:
    engine, token = FakeEngine(), CancelToken()
    loads: list[str] = []

    def create(context: Any, *, on_event: Any) -> FakeEngine:
        loads.append("begun")
        if len(loads) == 1:
            token.cancel()
        on_event(ProgressEvent("load", 1, 2))
        loads.append("loaded")
        return engine

    engine.create = create  # type: ignore[method-assign]
    pipeline = make(engine)
    for call in (lambda: pipeline.generate("p", cancel=token), lambda: pipeline.load(cancel=token)):
        with pytest.raises(GenerationCancelled):
            call()
    assert loads == ["begun"]
    pipeline.generate("p")
    assert loads == ["begun", "begun", "loaded"]


def test_a_cancelled_token_begins_nothing(make: Callable[..., PulidFlux]) -> None:
    pipeline, engine, token = make(engine := FakeEngine()), engine, CancelToken()
    assert not token.is_cancelled
    token.cancel()
    assert token.is_cancelled
    calls: list[Callable[[], object]] = [
        lambda: pipeline.generate("p", init_image="no such file.png", cancel=token),
        lambda: pipeline.load(cancel=token),
        lambda: list(pipeline.generate_each([{"prompt": "p"}], cancel=token)),
    ]
    for call in calls:
        with pytest.raises(GenerationCancelled):
            call()
    assert engine.context is None


def test_an_extraction_is_cancelled_before_the_networks_begin(
    make: Callable[..., PulidFlux], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Held()
    pipeline, token = make(engine, extractor={"eva": "e.pt"}), CancelToken()
    done: list[str] = []

    def enroll(photos: Any, *, on_extract: Callable[[], None], **options: Any) -> Identity:
        token.cancel()
        on_extract()
        done.append("extracted")
        return Identity.from_array([[1.0]])

    monkeypatch.setattr(pipeline._enroller, "enroll", enroll)
    with pytest.raises(GenerationCancelled):
        pipeline.enroll(b"photo", cancel=token)
    making = Caller(lambda: pipeline.generate("p"))
    engine.reached.wait()
    waits = CancelToken()
    extracting = Caller(lambda: pipeline.enroll(b"photo", cancel=waits))
    waiting(pipeline, 1)
    waits.cancel()
    assert isinstance(extracting.get(), GenerationCancelled)
    engine.go.set()
    making.get()
    assert done == []


@pytest.mark.parametrize("given", [threading.Event(), True, "yes"])
def test_something_else_is_refused(make: Callable[..., PulidFlux], given: Any) -> None:
    pipeline = make(FakeEngine())
    for call in (pipeline.generate, pipeline.enroll):
        with pytest.raises(ValueError, match=r"must be a pulid_sdcpp\.CancelToken"):
            call("p", cancel=given)


def test_a_call_that_waits_for_another_engine_is_not_begun() -> None:
    """All engines of a process run on one thread."""
    begun, go, made = threading.Event(), threading.Event(), []

    def other() -> None:
        begun.set()
        go.wait(10)

    busy = Caller(lambda: native_thread.run(other))
    begun.wait()
    cancelled = threading.Event()

    def waits() -> None:
        with native_thread.unless(cancelled.is_set):
            native_thread.run(lambda: made.append("freed"))  # has to be done
            native_thread.run(lambda: made.append("picture"), may_give_up=True)

    def waits_only() -> None:
        with native_thread.unless(cancelled.is_set):
            native_thread.run(lambda: made.append("picture"), may_give_up=True)

    callers = [Caller(waits), Caller(waits_only)]
    cancelled.set()
    assert isinstance(callers[1].get(), GenerationCancelled)
    assert callers[0].is_alive()
    go.set()
    assert isinstance(callers[0].get(), GenerationCancelled)
    busy.get()
    assert made == ["freed"]


def test_a_lock_is_neither_lost_nor_given_twice_when_many_give_up() -> None:
    """Cancelled in the moment in which the turn comes, and before, and after."""
    lock, chance = FairLock(), random.Random(1)
    tokens = [CancelToken() for _ in range(200)]
    inside, most, had, gave_up = 0, 0, list[int](), list[int]()

    def work(number: int) -> None:
        nonlocal inside, most
        try:
            with lock.turn(tokens[number]):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1
                had.append(number)
        except GenerationCancelled:
            gave_up.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for number in chance.sample(range(200), 100):
        time.sleep(chance.random() * 0.001)
        tokens[number].cancel()
    for thread in threads:
        thread.join(10)
    assert sorted([*had, *gave_up]) == list(range(200))
    assert (inside, most) == (0, 1)
    assert not lock._waiting
    with lock:
        pass


def test_a_hundred_threads_of_which_thirty_are_cancelled(make: Callable[..., PulidFlux]) -> None:
    engine, chance = WorkingEngine(), random.Random(2)
    pipeline = make(engine)
    tokens = [CancelToken() for _ in range(100)]
    callers = [
        Caller(lambda n=number: pipeline.generate(f"p{n}", seed=n, cancel=tokens[n]))
        for number in range(100)
    ]
    chosen = set(chance.sample(range(100), 30))
    for number in sorted(chosen, key=lambda _: chance.random()):
        time.sleep(chance.random() * 0.01)
        tokens[number].cancel()
    outcomes = [caller.get() for caller in callers]
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception):
            assert isinstance(outcome, GenerationCancelled)
            assert number in chosen
        else:
            assert (outcome.seed, outcome.metadata.prompt) == (number, f"p{number}")
    assert pipeline.generate("after").image
