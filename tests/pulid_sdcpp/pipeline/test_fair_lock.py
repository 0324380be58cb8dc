from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pulid_sdcpp.pipeline.fair_lock import FairLock


def waiting(lock: FairLock, count: int) -> None:
    """Wait until so many threads stand in line."""
    while len(lock._waiting) != count:
        time.sleep(0.001)


def test_turns_are_given_in_the_order_of_asking() -> None:
    lock, order = FairLock(), list[int]()
    threads = []

    def work(number: int) -> None:
        with lock:
            order.append(number)

    with lock:
        for number in range(8):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            waiting(lock, number + 1)
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_one_at_a_time_and_free_again_after_an_error() -> None:
    lock, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with lock:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)
    with pytest.raises(KeyError), lock:
        raise KeyError
    with lock:
        pass


@pytest.mark.parametrize("was_given", [False, True])
def test_who_is_interrupted_in_line_is_passed_over(
    was_given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while waiting: also when the turn had just come, it goes to the next."""
    lock = FairLock()

    class Interrupted(threading.Event):
        def wait(self, timeout: Any = None) -> bool:
            if was_given:
                lock.__exit__()
            raise KeyboardInterrupt

    lock.__enter__()
    monkeypatch.setattr(threading, "Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.__enter__()
    monkeypatch.undo()
    if not was_given:
        lock.__exit__()
    with lock:  # neither lost nor held by nobody
        assert not lock._waiting
