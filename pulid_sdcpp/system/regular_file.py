"""Open files whose names come from outside: regular ones only, and without ever waiting.

A named pipe makes `open` wait for somebody who writes to it, a device may have no end.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from io import BufferedReader

__all__ = ["NotRegularError", "open_regular", "read_regular"]

# Opened by who started the process, as a shell does for `<(command)`: nobody waits for a writer.
_STREAM = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/[0-9]+")


class NotRegularError(OSError):
    """A folder, named pipe, socket or device where a file is needed.

    Attributes:
        found: Which of them, with an article.
    """

    def __init__(self, path: str | os.PathLike[str], found: str) -> None:
        super().__init__(errno.EINVAL, f"expected a file, found {found}", os.fspath(path))
        self.found = found


def open_regular(path: str | os.PathLike[str], *, stream: bool = False) -> BufferedReader:
    """Open a file to read its bytes.

    Args:
        path: The file.
        stream: Whether /dev/stdin and /dev/fd/N may also be pipes.

    Raises:
        OSError: As `open`; NotRegularError: it is no regular file.
        ValueError: A name that no file can have.
    """
    if stream and _STREAM.fullmatch(os.fspath(path)) and stat.S_ISFIFO(os.stat(path).st_mode):
        return open(path, "rb")
    # Looked at before: opening alone does something to some devices. And after: it may have been
    # replaced; with O_NONBLOCK a named pipe opens at once.
    _check(os.stat(path).st_mode, path)
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NOINHERIT", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    try:
        _check(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], max_bytes: int, *, stream: bool = False) -> bytes:
    """All that is in a file.

    Args:
        path, stream: As for `open_regular`.
        max_bytes: The most that it may have.

    Raises:
        OSError: As `open_regular`; or it has more.
        ValueError: A name that no file can have.
    """
    with open_regular(path, stream=stream) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        most = f"{max_bytes >> 20} MiB" if max_bytes >= 1 << 20 else f"{max_bytes >> 10} KiB"
        reason = f"expected at most {most}, found a larger file"
        raise OSError(errno.EFBIG, reason, os.fspath(path))
    return content


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        found = "a folder"
    elif stat.S_ISFIFO(mode):
        found = "a named pipe"
    elif stat.S_ISSOCK(mode):
        found = "a socket"
    else:
        found = "a device"
    raise NotRegularError(path, found)
