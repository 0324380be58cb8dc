"""A file of tensors, open for reading at any place.

Read, not memory-mapped: another process may write over a file, or cut it, while it is open. What
was read stays as it was then, and what is missing is an exception; of a mapping the numbers would
change in the midst of a computation, and what was cut off would end the process.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..system.file_hash import stamp_of
from ..system.regular_file import NotRegularError, open_regular
from ..terminal_text import reason_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FileBytes"]

_WINDOW_BYTES = 1 << 18
"""Read at once where a header is read field by field."""
_MOST_AT_ONCE = 1 << 30
"""Linux reads 2 GiB at most, macOS a byte less."""


class FileBytes:
    """A regular file, read at any place and from any thread.

    `len(file)` is its size, and `file[start:stop]` bytes of it, read ahead for one thread that
    goes through a header. A context manager.

    Args:
        path: The file.
        what: What is expected there, with an article, for the error message.

    Raises:
        ModelFileError: The file is missing, no regular file, unreadable or empty.

    Attributes:
        path: As given.
        stamp: What `file_stamp` says of the file that was opened.
    """

    def __init__(self, path: str | os.PathLike[str], what: str = "a model file") -> None:
        self.path = os.fspath(path)
        source = Path(path)
        try:
            with open_regular(source) as file:
                self._fd = os.dup(file.fileno())
        except NotRegularError as error:
            hint = "; name a file in it" if error.found == "a folder" else ""
            raise ModelFileError(f"{source}: expected {what}, found {error.found}{hint}") from None
        except FileNotFoundError:
            raise ModelFileError(f"{source}: no such file (expected {what})") from None
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self._close = weakref.finalize(self, os.close, self._fd)
        found = os.fstat(self._fd)
        self.stamp = stamp_of(found)
        self._size = found.st_size
        self._window = (0, b"")
        self._at_one_place = threading.Lock()  # where there is no reading at a place
        if not self._size:
            self.close()
            raise ModelFileError(f"{source}: expected {what}, found an empty file")

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        stop = max(start, stop)
        begin, window = self._window
        if not begin <= start <= stop <= begin + len(window):
            # Ahead only of who goes on from where he was: numbers here and there are read alone.
            goes_on = begin <= start <= begin + len(window)
            count = min(max(stop - start, _WINDOW_BYTES * goes_on), self._size - start)
            begin, window = self._window = start, self.read(start, count)
        return window[start - begin : stop - begin]

    def read(self, offset: int, count: int) -> bytes:
        """Some bytes.

        Raises:
            ModelFileError: The file has become shorter, or cannot be read.
        """
        content = bytearray(count)
        self.read_into(content, offset)
        return bytes(content)

    def read_into(self, target: Any, offset: int) -> None:
        """Fill a contiguous, writable buffer, as an array, with what begins at `offset`.

        Raises:
            ModelFileError: The file has become shorter, or cannot be read.
        """
        with memoryview(target).cast("B") as view:
            done = 0
            while done < len(view):
                with view[done : done + _MOST_AT_ONCE] as rest:
                    try:
                        count = self._read_at(rest, offset + done)
                    except (OSError, ValueError) as error:
                        raise self._unreadable(error) from error
                if not count:
                    raise ModelFileError(
                        f"{self.path}: truncated while it was open: it had {self._size} bytes, and "
                        f"ends before {offset + len(view)} now; write it again, and load it again"
                    )
                done += count

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        One that another took the place of, under the same name, is the same still.

        Raises:
            ModelFileError: It was.
        """
        now = stamp_of(os.fstat(self._open_fd))
        if now[:2] != self.stamp[:2]:
            raise ModelFileError(
                f"{self.path}: changed while it was open: it had {self.stamp[0]} bytes, has "
                f"{now[0]} now, and was written to; load it again, and replace files by renaming "
                "another to their name"
            )

    def close(self) -> None:
        self._close()

    @property
    def _open_fd(self) -> int:
        # The number may be another file's, when this one is closed.
        if not self._close.alive:
            raise ValueError("it was closed")
        return self._fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_at(self, target: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._open_fd, [target], offset)
        with self._at_one_place:  # Windows
            os.lseek(self._open_fd, offset, os.SEEK_SET)
            content = os.read(self._open_fd, len(target))
        target[: len(content)] = content
        return len(content)

    def _unreadable(self, error: Exception) -> ModelFileError:
        reason = reason_of(error)
        return ModelFileError(f"{self.path}: cannot read it: {reason}")
