"""Ctrl-C while the engine works: the first stops it, the second does not wait for that.

The engine stops within one model evaluation by itself when its caller is interrupted, but
native code that is loading files, or a driver that hangs, cannot be stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import click

__all__ = ["Interrupted", "second_interrupt_leaves"]


class Interrupted(click.Abort):
    """Ctrl-C, after some of the work was finished; its text says what is there."""


@contextlib.contextmanager
def second_interrupt_leaves() -> Iterator[None]:
    """In the block, Ctrl-C raises KeyboardInterrupt; another one ends the process with 130."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have signal handlers
        return
    interrupted = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            _leave_now()
        interrupted = True
        print("\nstopping; Ctrl-C again to leave at once", file=sys.stderr, flush=True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_now() -> None:
    """End without Python's or C++'s clean-up, which would wait for the native code."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(130)
