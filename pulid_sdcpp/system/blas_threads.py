"""NumPy's OpenBLAS on one thread, while many small products are computed.

OpenBLAS waits actively for its threads at the end of every product. Where other programs want
the cores too, or a container may use fewer than it sees, a product of half a millisecond then
takes many; folding has thousands of them. One thread of our own per layer has no such waits, and
gives the same numbers on any number of cores.

Source: OpenBLAS, cblas.h (`openblas_set_num_threads`); NumPy's wheels bring the library along,
with a prefix and a suffix to its names.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

__all__ = ["one_blas_thread"]

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")

_lock = threading.Lock()
_depth = 0
_before = 0


@contextlib.contextmanager
def one_blas_thread() -> Iterator[bool]:
    """Let OpenBLAS use one thread while the block runs; nothing where NumPy has another BLAS.

    Any number of threads may be in such blocks; what was set before returns after the last.

    Returns:
        Whether it does.
    """
    global _depth, _before
    controls = _controls()
    if controls is None:
        yield False
        return
    get_threads, set_threads = controls
    with _lock:
        if _depth == 0:
            _before = get_threads()
            set_threads(1)
        _depth += 1
    try:
        yield True
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                set_threads(_before)


@functools.cache
def _controls() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """OpenBLAS's functions to read and set its number of threads, if NumPy brought it along."""
    package = Path(np.__file__).parent
    for file in [
        *package.parent.glob("numpy.libs/*openblas*"),
        *package.glob(".dylibs/*openblas*"),
    ]:
        try:
            library = ctypes.CDLL(str(file))  # NumPy has loaded it: this is the same one
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                put = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if get is not None and put is not None:
                    get.restype, put.restype, put.argtypes = ctypes.c_int, None, [ctypes.c_int]
                    return get, put
    return None
