"""Cancelling calls of a pipeline: those that were given a token, and no others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import GenerationCancelled

__all__ = ["CancelToken", "check_is_token"]


class CancelToken:
    """Cancels the calls that it is given to, wherever they are: waiting, loading or making.

        token = CancelToken()
        stop = threading.Timer(60, token.cancel)
        stop.start()
        pipeline.generate("photo of a person", alice, cancel=token)  # a minute at most
        stop.cancel()

    A token is given to one call or to several, from any thread. It stays cancelled: a call that
    gets it later does not begin.
    """

    def __init__(self) -> None:
        # A signal's handler may cancel while this thread holds it.
        self._lock = threading.RLock()
        self._is_cancelled = False
        self._callbacks: dict[object, Callable[[], object]] = {}

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def cancel(self) -> None:
        """Cancel the calls, which raise GenerationCancelled; from any thread, any number of times.

        It does not wait for them. A waiting call ends at once, a running one within one evaluation
        of the model.
        """
        with self._lock:
            if self._is_cancelled:
                return
            self._is_cancelled = True
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Go no further when it is cancelled.

        Raises:
            GenerationCancelled: It is.
        """
        if self._is_cancelled:
            raise GenerationCancelled("cancelled")

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` when it is cancelled inside the block, at once if it is already.

        It is called once, on the thread that cancels; it may still run when the block has ended.
        """
        key = object()
        with self._lock:
            self._callbacks[key] = callback
            is_cancelled = self._is_cancelled
        try:
            if is_cancelled:
                callback()
            yield
        finally:
            with self._lock:
                del self._callbacks[key]


def check_is_token(given: object) -> CancelToken:
    """The token; one that nobody cancels in the place of None.

    Raises:
        ValueError: It is something else.
    """
    if given is None:
        return CancelToken()
    if not isinstance(given, CancelToken):
        raise ValueError(
            f"cancel is of type {type(given).__name__}, but must be a pulid_sdcpp.CancelToken"
        )
    return given
