"""The one thread that runs the engine.

The engine keeps its callbacks in global variables and its last error per thread, so all calls
of a process go through one thread, one after another. The caller waits meanwhile, and stays
interruptible: Ctrl-C reaches Python at once instead of after the picture. Leaving Python cancels
what runs.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import GenerationCancelled
from .sized_thread import start_thread

__all__ = ["run", "run_later", "unless"]

Returned = TypeVar("Returned")

_WAIT_S = 0.2

_local = threading.local()


@contextlib.contextmanager
def unless(is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """What this thread runs inside the block is not begun when it is not wanted any more.

    It would wait for what other pipelines and engines of this process run.

    Args:
        is_unwanted: Asked now and then while a call of `run` waits that may be given up.
    """
    before, _local.is_unwanted = getattr(_local, "is_unwanted", _never), is_unwanted
    try:
        yield
    finally:
        _local.is_unwanted = before


def _never() -> bool:
    return False


def run(
    call: Callable[[], Returned],
    on_interrupt: Callable[[], None] = lambda: None,
    *,
    may_give_up: bool = False,
) -> Returned:
    """Run `call` on the engine's thread and wait for it.

    Args:
        call: What to run; its result or exception becomes this function's.
        on_interrupt: Called when the wait is interrupted (Ctrl-C) or Python is left while `call`
            runs, to make it end soon. The interruption is raised after `call` has ended. A call
            whose turn has not come is not made.
        may_give_up: Whether `unless` holds for it; what has to be done, as freeing, is done.

    Raises:
        GenerationCancelled: Not wanted any more when its turn came.
        RuntimeError: Called from the engine's thread, as from a progress callback; or Python is
            being left.
    """
    if getattr(_local, "is_engine_thread", False):
        raise RuntimeError("the engine cannot be called from one of its own callbacks")
    is_unwanted = getattr(_local, "is_unwanted", _never) if may_give_up else _never
    if is_unwanted():
        raise GenerationCancelled("cancelled")
    job = _current_thread().submit(call, on_interrupt)
    job.is_unwanted = is_unwanted
    try:
        _wait(job)
    except BaseException:
        if not job.cancel():
            on_interrupt()
            _wait(job)
        raise
    if job.cancelled():
        raise GenerationCancelled("cancelled") if job.is_unwanted() else RuntimeError(_LEAVING)
    result: Returned = job.result()
    return result


_LEAVING = "Python is being left, and the engine with it"


class _Future(concurrent.futures.Future[Any]):
    """What comes of a call.

    Attributes:
        is_unwanted: Whether it need not be made any more; asked while it waits.
    """

    is_unwanted: Callable[[], bool] = staticmethod(_never)


def _wait(job: _Future) -> None:
    # On Windows only a wait that ends by itself lets Ctrl-C through.
    while not concurrent.futures.wait([job], timeout=_WAIT_S).done:
        if job.is_unwanted() and job.cancel():  # which does nothing once it runs
            return


def run_later(call: Callable[[], object]) -> None:
    """Run `call` on the engine's thread after what runs there, and do not wait for it.

    Raises:
        RuntimeError: Python is being left.
    """
    _current_thread().submit(call, lambda: None)


@dataclass
class _Job:
    future: _Future
    call: Callable[[], object]
    on_interrupt: Callable[[], None]


class _EngineThread:
    """A thread of our own instead of an executor, whose work Python waits for when it is left."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.RLock()  # the collector may close an engine while it is held
        self._running: _Job | None = None
        self._is_ending = False
        self._thread = start_thread(self._work, "pulid-engine")

    def submit(self, call: Callable[[], object], on_interrupt: Callable[[], None]) -> _Future:
        job = _Job(_Future(), call, on_interrupt)
        with self._lock:
            if self._is_ending:
                raise RuntimeError(_LEAVING)
            self._jobs.put(job)
        return job.future

    def cancel_all(self) -> None:
        """Make what runs end soon, and nothing begin any more."""
        with self._lock:
            self._is_ending = True
            running = self._running
            self._jobs.put(None)
        if running is not None:
            running.on_interrupt()

    def end(self) -> None:
        """As `cancel_all`, and wait: no native code may run when the interpreter is gone."""
        self.cancel_all()
        while self._thread.is_alive():
            self._thread.join(_WAIT_S)

    def _work(self) -> None:
        _local.is_engine_thread = True
        while (job := self._jobs.get()) is not None:
            if self._begins(job):
                self._do(job)
            del job

    def _do(self, job: _Job) -> None:
        result, failure = None, None
        try:
            result = job.call()
        except BaseException as error:
            failure = error
        # Before the waiting thread goes on, which may rely on nothing being held any longer.
        job.call = job.on_interrupt = lambda: None
        with self._lock:
            self._running = None
        if failure is not None:
            job.future.set_exception(failure)
        else:
            job.future.set_result(result)

    def _begins(self, job: _Job) -> bool:
        with self._lock:
            if self._is_ending:
                job.future.cancel()
            if not job.future.set_running_or_notify_cancel():
                return False
            self._running = job
            return True


_lock = threading.RLock()
_thread: _EngineThread | None = None


def _current_thread() -> _EngineThread:
    global _thread
    with _lock:
        if _thread is None:
            _thread = _EngineThread()
        return _thread


def _forget_thread() -> None:
    """A forked child has the object but not the thread, and perhaps a lock that another held."""
    global _thread, _lock
    _thread, _lock = None, threading.RLock()
    _local.is_engine_thread = False


def _cancel_when_interrupted() -> None:
    """Ctrl-C ended the main thread: Python would wait for the others' pictures."""
    if getattr(sys, "last_type", None) is KeyboardInterrupt and _thread is not None:
        _thread.cancel_all()


def _end() -> None:
    if _thread is not None:
        with contextlib.suppress(KeyboardInterrupt):
            _thread.end()


# Called when every thread but daemons has ended.
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_thread)
# Called before those threads are waited for. Not documented, so not relied on: without it their
# pictures are finished first.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_cancel_when_interrupted)
