"""A pipeline's calls one after another: whose turn it is, and how a call is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..native import thread as native_thread
from .callbacks import is_called_back
from .cancel_token import CancelToken
from .fair_lock import FairLock
from .running_picture import RunningPicture

__all__ = ["Turns"]


class Turns:
    """Who may use a pipeline's model and extractor; in the order of asking.

    Args:
        stop_model: Makes what the model computes end within one evaluation; from any thread.
    """

    def __init__(self, stop_model: Callable[[], object]) -> None:
        self._stop_model = stop_model
        self._lock = FairLock()
        self._state = threading.RLock()  # of what `cancel` reads
        self._running: RunningPicture | None = None
        self._is_closed = False

    @contextmanager
    def turn(self, token: CancelToken) -> Iterator[None]:
        """Nothing else uses the pipeline inside the block.

        Raises:
            GenerationCancelled: The token was cancelled while it waited.
            ValueError: The pipeline is closed.
            RuntimeError: Called from a callback, for which the pipeline waits.
        """
        with self._turn_of_any(token):
            if self._is_closed:
                raise ValueError("this pipeline is closed")
            yield

    @contextmanager
    def generation(self, token: CancelToken) -> Iterator[RunningPicture]:
        """A turn with the model, which the token and `cancel` end.

        Raises:
            As `turn`.
        """
        running = RunningPicture()
        with self.turn(token):
            with self._state:
                self._running = running
            try:
                with (
                    token.calling(lambda: self._stop(running)),
                    native_thread.unless(lambda: running.cancelled),
                ):
                    yield running
            finally:
                with self._state:
                    self._running = None

    @contextmanager
    def last_turn(self) -> Iterator[None]:
        """There is none after it, but another like it."""
        with self._turn_of_any(CancelToken()):
            self._is_closed = True
            yield

    def cancel(self) -> None:
        """Stop the running generation, whoever's it is."""
        with self._state:
            if self._running is not None:
                self._stop(self._running)

    def _stop(self, running: RunningPicture) -> None:
        with self._state:
            running.cancelled = True
            if self._running is running:  # and not another's, which came after it
                self._stop_model()

    @contextmanager
    def _turn_of_any(self, token: CancelToken) -> Iterator[None]:
        if is_called_back():
            raise RuntimeError("a pipeline cannot be called from a pipeline's callback")
        with self._lock.turn(token):
            yield
