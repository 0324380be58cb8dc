"""A loaded native model: its calls, one after another, and its end."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..errors import GenerationCancelled, GenerationError
from ..native import thread as native_thread
from ..native.calls import CALL_FAILURES, NativeCall, NativeFailure, current_call
from ..native.library import last_error, library
from ..native.loading import memory_advice
from ..native.log import LastLines
from ..native.progress_event import EventCallback
from .result_check import is_refused_result, refused_result

__all__ = ["NativeModel", "ProgressCallback"]

ProgressCallback = Callable[[int, int, float], None]
Returned = TypeVar("Returned")


class NativeModel:
    """Runs what works with a model on the engine's thread; any thread may call.

    Args:
        binding: The binding's object, see `load_model`.

    Attributes:
        binding: As given; None when it is closed.
    """

    def __init__(self, binding: Any) -> None:
        self.binding: Any = binding
        self._state = threading.Lock()  # of what `cancel` reads
        self._running: NativeCall | None = None
        self._process = os.getpid()
        self._broken = ""

    @property
    def context(self) -> Any:
        """The engine's `sd_ctx_t*`.

        Raises:
            ValueError: It is closed, or of the process that this one was forked from.
            GenerationError: A call failed in its midst, so that it is not to be trusted.
        """
        if self.binding is None:
            raise ValueError("this engine is closed")
        if self.is_of_a_parent:
            raise ValueError(
                "this engine belongs to the process that this one was forked from; load another "
                "here, or use multiprocessing's start method 'spawn'"
            )
        if self._broken:
            raise GenerationError(f"the engine failed before ({self._broken}); load it again")
        return self.binding.model

    @property
    def is_of_a_parent(self) -> bool:
        """Whether a forked child has it from its parent, whose threads and device it lacks."""
        return self._process != os.getpid()

    def run(
        self,
        call: Callable[[], Returned],
        progress: ProgressCallback | None = None,
        on_event: EventCallback | None = None,
        *,
        spoils: bool = True,
    ) -> Returned:
        """Run a native call on the engine's thread; what failed natively becomes one error.

        Args:
            call: Called with nothing, when it is its turn.
            progress, on_event: Told how far it is, there; what they raise stops it.
            spoils: Whether a failure in its midst can leave the model half changed.

        Raises:
            ValueError: The engine cannot take what it was given.
            GenerationCancelled: `cancel` was called, or whoever waits was interrupted.
            GenerationError: The engine failed.
        """
        current = NativeCall(None, progress, on_event)
        return native_thread.run(
            lambda: self._guarded(call, current, spoils),
            lambda: self._cancel(current),
            may_give_up=True,
        )

    def cancel(self) -> None:
        """Stop what runs; nothing happens when nothing does."""
        with self._state:
            if self._running is not None:
                library().pulid_set_cancelled(self._running.context, True)

    def close(self) -> None:
        """Free the model; waits for a running call. Closing twice is harmless."""
        binding, self.binding = self.binding, None
        with contextlib.suppress(RuntimeError):  # the interpreter is ending and frees it all
            if binding is not None and not self.is_of_a_parent:
                native_thread.run(binding.close)

    def __del__(self) -> None:
        # Not waited for: the collector may run in a thread that holds what the engine needs.
        if getattr(self, "binding", None) is not None and not self.is_of_a_parent:
            with contextlib.suppress(RuntimeError):
                native_thread.run_later(self.binding.close)

    def _cancel(self, call: NativeCall) -> None:
        """Stop this call, and no other that runs."""
        with self._state:
            call.is_cancelled = True
            if self._running is call:
                library().pulid_set_cancelled(call.context, True)

    def _guarded(self, call: Callable[[], Returned], current: NativeCall, spoils: bool) -> Returned:
        current.context = self.context
        with LastLines() as log, self._is_running(current), current_call(current):
            try:
                return call()
            except CALL_FAILURES as error:
                reason = last_error()
                if current.failure is not None:
                    raise current.failure from None
                if library().pulid_was_cancelled():
                    raise GenerationCancelled("cancelled", log.lines) from None
                if not reason and not isinstance(error, NativeFailure):
                    if isinstance(error, ValueError):
                        raise
                    raise ValueError(f"the engine cannot take these arguments: {error}") from error
                if is_refused_result(reason):
                    raise refused_result(reason, log.lines) from None
                if spoils:  # an exception went through it: its state is not to be trusted
                    self._broken = reason
                raise GenerationError(memory_advice(reason or log.first_error), log.lines) from None

    @contextlib.contextmanager
    def _is_running(self, call: NativeCall) -> Iterator[None]:
        """What `cancel` stops meanwhile."""
        with self._state:
            if call.is_cancelled:  # in the moment between its turn and this one
                raise GenerationCancelled("cancelled")
            library().pulid_set_cancelled(call.context, False)
            self._running = call
        try:
            yield
        finally:
            with self._state:
                self._running = None
