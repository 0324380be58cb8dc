"""Callers' functions, called while the pipeline or the engine works.

What is called back must not call the engine again: it would wait for itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["called_back", "is_called_back"]

_local = threading.local()


def called_back(callback: Callable[..., object] | None) -> Callable[..., None]:
    """A function that calls `callback`, and nothing when that is None."""

    def call(*arguments: object) -> None:
        if callback is None:
            return
        before, _local.depth = _depth(), _depth() + 1
        try:
            callback(*arguments)
        finally:
            _local.depth = before

    return call


def is_called_back() -> bool:
    """Whether this thread is in such a function now."""
    return _depth() > 0


def _depth() -> int:
    return int(getattr(_local, "depth", 0))
