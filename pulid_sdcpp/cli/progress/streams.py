"""stdout and stderr of a command, so that what is said there never decides what is done.

A character that the encoding lacks is written as \\u65e5, one that steers the terminal as \\x1b.
What cannot be written costs no work:

    stderr closed or full    nothing is said there
    stdout closed            what belongs there is said on stderr
    stdout full              so, from there on; and in the end the exit status is 1
    stdout's reader gone     the command ends, quietly; the status is a shell's of SIGPIPE
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from ...errors import OutputFileError
from ...terminal_text import escaped, reason_of

__all__ = [
    "EXIT_READER_GONE",
    "ReaderGone",
    "bar_stream",
    "command_streams",
    "is_lost",
    "stdout_problem",
    "write_to_stdout",
]

EXIT_READER_GONE = 141  # 128 + SIGPIPE
# Windows says EINVAL of a pipe that nobody reads.
_READER_GONE = {errno.EPIPE, errno.ESHUTDOWN, *([errno.EINVAL] if os.name == "nt" else [])}


class ReaderGone(Exception):
    """Whoever read stdout has left. No OSError: click has a way of its own with those."""


class _Stream:
    """A text stream that escapes; `stream` None: there is none."""

    def __init__(self, stream: TextIO | None, instead: _Stream | None = None) -> None:
        self._stream = stream
        self._instead = instead  # of stdout: stderr
        self.problem = ""

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:
        return "backslashreplace"

    def write(self, text: str) -> int:
        self.write_raw(escaped(text))
        return len(text)

    def write_raw(self, text: str) -> None:
        """Without escaping what steers: for the progress bar."""
        text = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        if self._stream is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
                return
            except (OSError, ValueError) as error:  # ValueError: somebody has closed it
                self._leave(error)
        if self._instead is not None:
            self._instead.write_raw(text)

    def write_bytes(self, content: bytes | memoryview) -> None:
        """As they are, to the end, or not.

        Raises:
            ReaderGone: Nobody reads them.
            OutputFileError: They cannot be written.
        """
        binary = getattr(self._stream, "buffer", None)
        if binary is None:
            raise OutputFileError("cannot write the picture to stdout: it is closed")
        left = memoryview(content)
        try:
            while left:  # with PYTHONUNBUFFERED a part may be written, as after a signal
                left = left[binary.write(left) or 0 :]
            binary.flush()
        except (OSError, ValueError) as error:
            self._leave(error)
            raise OutputFileError(
                f"cannot write the picture to stdout: {reason_of(error)}"
            ) from error

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def _leave(self, error: OSError | ValueError) -> None:
        """Write nothing more there."""
        stream, self._stream = self._stream, None
        self.problem = reason_of(error)
        # What is left in its buffer would fail once more when Python ends, and be told then.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            number = stream.fileno()  # type: ignore[union-attr]
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
        if self._instead is not None and getattr(error, "errno", None) in _READER_GONE:
            self._instead = None
            raise ReaderGone(self.problem) from None


class _Bar:
    """A stream's side for what draws on the terminal."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write_raw(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def command_streams() -> Iterator[None]:
    """In the block, sys.stdout and sys.stderr are as the module says."""
    _fill_standard_files()
    before = sys.stdout, sys.stderr
    errors = _Stream(sys.stderr)
    sys.stdout, sys.stderr = _Stream(sys.stdout, errors), errors
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def bar_stream(stream: TextIO) -> TextIO:
    """Where a bar may be drawn that is on `stream`."""
    return _Bar(stream) if isinstance(stream, _Stream) else stream  # type: ignore[return-value]


def write_to_stdout(content: bytes | memoryview) -> None:
    """Write a file's bytes there, in the block of `command_streams`.

    Raises:
        ReaderGone, OutputFileError: It cannot be done.
    """
    if not isinstance(sys.stdout, _Stream):
        raise OutputFileError("cannot write the picture to stdout: it takes only text")
    sys.stdout.write_bytes(content)


def is_lost(stream: TextIO) -> bool:
    """Whether what is written is not what its reader gets."""
    return isinstance(stream, _Stream) and bool(stream.problem)


def stdout_problem() -> str:
    """Why stdout could not be written to the end; "" if it could."""
    return sys.stdout.problem if isinstance(sys.stdout, _Stream) else ""


def _fill_standard_files() -> None:
    """Open what was closed before the start: the next file that is opened would be taken for it."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            try:
                os.fstat(number)
            except OSError:
                with contextlib.suppress(OSError):
                    os.open(os.devnull, os.O_RDWR)
