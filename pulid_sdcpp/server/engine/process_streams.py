"""The streams of a child process, kept for messages."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

__all__ = ["own_streams"]


def own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Stdin and stdout for messages only: what native code or a library prints goes to stderr."""
    source, out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(source, "rb"), os.fdopen(out, "wb")
