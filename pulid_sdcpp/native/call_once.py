"""Functions whose first call prepares something for the whole process."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["call_once"]

Returned = TypeVar("Returned")


def call_once(function: Callable[[], Returned]) -> Callable[[], Returned]:
    """Its result is kept, and threads that call it meanwhile wait for that.

    `functools.cache` lets two threads make the first call side by side, whose effects then happen
    twice. What raises is called again.
    """
    lock = threading.Lock()
    results: list[Returned] = []

    @functools.wraps(function)
    def call() -> Returned:
        if not results:
            with lock:
                if not results:
                    results.append(function())
        return results[0]

    return call
