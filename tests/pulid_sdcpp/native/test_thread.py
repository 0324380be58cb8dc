from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from pulid_sdcpp.native import thread as native_thread
from pulid_sdcpp.native.call_once import call_once


@pytest.fixture
def busy() -> Iterator[threading.Event]:
    """The engine's thread does something until this is set."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait()

    native_thread.run_later(work)
    begun.wait()
    yield end
    end.set()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the next wait of this thread end with Ctrl-C."""
    wait, here = native_thread._wait, threading.current_thread()

    def interrupt() -> None:
        def interrupted_wait(job: Future[Any]) -> None:
            if threading.current_thread() is here:
                monkeypatch.setattr(native_thread, "_wait", wait)
                raise KeyboardInterrupt
            wait(job)

        monkeypatch.setattr(native_thread, "_wait", interrupted_wait)

    return interrupt


def test_results_and_errors_are_the_callers() -> None:
    assert native_thread.run(lambda: 5) == 5
    with pytest.raises(KeyError, match="mine"):
        native_thread.run(lambda: {}["mine"])


def test_a_call_from_the_engines_thread_is_refused() -> None:
    with pytest.raises(RuntimeError, match="one of its own callbacks"):
        native_thread.run(lambda: native_thread.run(lambda: 5))


def test_an_interrupted_call_that_waits_is_never_made(
    busy: threading.Event, interrupted: Callable[[], None]
) -> None:
    made: list[str] = []
    interrupted()
    with pytest.raises(KeyboardInterrupt):  # at once, though the thread is busy
        native_thread.run(lambda: made.append("call"), lambda: made.append("interrupt"))
    busy.set()
    native_thread.run(lambda: None)
    assert made == []


def test_an_interrupted_call_that_runs_is_told_and_waited_for(
    interrupted: Callable[[], None],
) -> None:
    told, order = threading.Event(), []

    def call() -> None:
        told.wait()
        order.append("ended")

    interrupted()
    begun = threading.Event()
    wait = native_thread._wait

    def wait_until_it_runs(job: Future[Any]) -> None:
        begun.wait()
        wait(job)

    native_thread._wait = wait_until_it_runs
    try:
        with pytest.raises(KeyboardInterrupt):
            native_thread.run(lambda: (begun.set(), call()), told.set)
    finally:
        native_thread._wait = wait
    assert order == ["ended"]


def test_threads_that_make_a_first_call_together_make_one() -> None:
    calls: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    @call_once
    def prepare() -> object:
        calls.append(1)
        inside.set()
        go_on.wait()
        return object()

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(prepare())) for _ in range(4)]
    for thread in threads:
        thread.start()
    inside.wait()
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(one is found[0] for one in found)


def test_what_raises_is_called_again() -> None:
    answers = [ValueError("first"), None]

    @call_once
    def prepare() -> int:
        if (error := answers.pop(0)) is not None:
            raise error
        return 5

    with pytest.raises(ValueError, match="first"):
        prepare()
    assert (prepare(), prepare()) == (5, 5)
