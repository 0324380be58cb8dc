"""A lock that is given in the order in which it was asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .cancel_token import CancelToken

__all__ = ["FairLock"]

_WAIT_S = 0.2


class FairLock:
    """As `threading.Lock`, but who waits longest is next. A context manager, not reentrant."""

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, cancel: CancelToken) -> Iterator[None]:
        """Hold it inside the block.

        Raises:
            GenerationCancelled: Cancelled before it was given; others keep their places.
        """
        self._acquire(cancel)
        try:
            yield
        finally:
            self._release()

    def __enter__(self) -> None:
        self._acquire(CancelToken())

    def __exit__(self, *exception: object) -> None:
        self._release()

    def _acquire(self, cancel: CancelToken) -> None:
        cancel.check()
        with self._state:
            if not self._is_held:
                self._is_held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            with cancel.calling(turn.set):
                # On Windows only a wait that ends by itself lets Ctrl-C through.
                while not turn.wait(_WAIT_S):
                    pass
            cancel.check()
        except BaseException:
            with self._state:
                was_given = turn not in self._waiting
                if not was_given:
                    self._waiting.remove(turn)
            if was_given:
                self._release()
            raise

    def _release(self) -> None:
        with self._state:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False
