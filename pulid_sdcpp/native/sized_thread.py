"""A thread with a stack of known size, whatever the process was started with."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["STACK_BYTES", "start_thread"]

STACK_BYTES = 64 << 20
"""Where `ulimit -s` says less, or the C library (musl: 128 KiB). What is not used of it takes no
memory."""


def start_thread(work: Callable[[], object], name: str) -> threading.Thread:
    """A daemon that runs `work`; with the usual stack where it cannot have this one."""
    for stack_bytes in (STACK_BYTES, 0):
        thread = threading.Thread(target=work, name=name, daemon=True)
        try:
            size_before = threading.stack_size(stack_bytes)
        except (ValueError, RuntimeError):  # not of this size, or of no size here
            continue
        try:
            thread.start()
            return thread
        except RuntimeError:  # no memory for such a stack
            continue
        finally:
            threading.stack_size(size_before)
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
