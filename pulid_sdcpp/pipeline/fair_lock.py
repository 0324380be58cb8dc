"""A lock that is given in the order in which it was asked for."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["FairLock"]

_WAIT_S = 0.2


class FairLock:
    """As `threading.Lock`, but who waits longest is next. A context manager, not reentrant."""

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._state:
            if not self._is_held:
                self._is_held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            # On Windows only a wait that ends by itself lets Ctrl-C through.
            while not turn.wait(_WAIT_S):
                pass
        except BaseException:
            with self._state:
                was_given = turn not in self._waiting
                if not was_given:
                    self._waiting.remove(turn)
            if was_given:
                self._release()
            raise

    def __exit__(self, *exception: object) -> None:
        self._release()

    def _release(self) -> None:
        with self._state:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False
