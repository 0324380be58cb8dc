"""The one thread that runs the engine.

The engine keeps its callbacks in global variables and its last error per thread, so all calls
of a process go through one thread, one after another. The caller waits meanwhile, and stays
interruptible: Ctrl-C reaches Python at once instead of after the picture.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["run", "start"]

Result = TypeVar("Result")

_WAIT_S = 0.2

_lock = threading.RLock()  # the collector may close an engine while it is held
_executor: concurrent.futures.ThreadPoolExecutor | None = None
_executor_pid = 0
_local = threading.local()


def run(call: Callable[[], Result], on_interrupt: Callable[[], None] = lambda: None) -> Result:
    """Run `call` on the engine's thread and wait for it.

    Args:
        call: What to run; its result or exception becomes this function's.
        on_interrupt: Called when the wait is interrupted (Ctrl-C), to make `call` end soon. The
            interruption is raised after `call` has ended.

    Raises:
        RuntimeError: Called from the engine's thread, as from a progress callback.
    """
    if getattr(_local, "is_engine_thread", False):
        raise RuntimeError("the engine cannot be called from one of its own callbacks")
    future = _current_executor().submit(call)
    try:
        _wait(future)
    except BaseException:
        on_interrupt()
        _wait(future)
        raise
    return future.result()


def _wait(future: concurrent.futures.Future[Result]) -> None:
    # On Windows only a wait that ends by itself lets Ctrl-C through.
    while not concurrent.futures.wait([future], timeout=_WAIT_S).done:
        pass


def start(call: Callable[[], object]) -> None:
    """Run `call` on the engine's thread after what runs there, and do not wait for it.

    Raises:
        RuntimeError: The interpreter is ending.
    """
    _current_executor().submit(call)


def _current_executor() -> concurrent.futures.ThreadPoolExecutor:
    global _executor, _executor_pid
    with _lock:
        # A forked child has the object but not the thread.
        if _executor is None or _executor_pid != os.getpid():
            _executor = concurrent.futures.ThreadPoolExecutor(
                1, "pulid-engine", initializer=_mark_engine_thread
            )
            _executor_pid = os.getpid()
        return _executor


def _mark_engine_thread() -> None:
    _local.is_engine_thread = True
