"""The engine's thread has a stack of known size, and other threads keep theirs."""

from __future__ import annotations

import threading

import pytest

from pulid_sdcpp.native.sized_thread import STACK_BYTES, start_thread


def check_it_works() -> None:
    done = threading.Event()
    start_thread(done.set, "test").join(60)
    assert done.is_set()


def test_the_stack_is_asked_for_and_other_threads_keep_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    original = threading.stack_size
    before = original()

    def stack_size(size: int) -> int:
        asked.append(size)
        return original(size)

    monkeypatch.setattr(threading, "stack_size", stack_size)
    check_it_works()
    assert asked == [STACK_BYTES, before]
    assert original() == before


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_it_runs_where_no_size_can_be_asked_for(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stack_size(size: int) -> int:
        raise error("not here")

    monkeypatch.setattr(threading, "stack_size", stack_size)
    check_it_works()


def test_it_runs_where_there_is_no_memory_for_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    original = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if threading.stack_size() == STACK_BYTES:
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    check_it_works()
    assert threading.stack_size() == 0
