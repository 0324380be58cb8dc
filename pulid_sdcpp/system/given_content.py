"""What is in a file that a program has in memory: its bytes, or an open file to read them from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, TypeGuard

from ..terminal_text import reason_of

__all__ = ["FileContent", "content_of", "is_content"]

FileContent = bytes | BinaryIO
"""The content of a file, or a file that is open for reading bytes, such as `io.BytesIO`."""


def is_content(given: object) -> TypeGuard[FileContent]:
    """Whether it is bytes, or something to read from; else it may be a path or a picture."""
    return isinstance(given, bytes | bytearray | memoryview) or callable(
        getattr(given, "read", None)
    )


def content_of(given: Any, most_bytes: int, error: Callable[[str], Exception]) -> bytes:
    """All that is in it; an open file that can be rewound is read from its start, as Pillow does.

    Args:
        given: Something of which `is_content` is true.
        most_bytes: The most that it may have.
        error: Makes the exception for content that cannot be used, of a sentence about it.

    Raises:
        ValueError: A file that is not open for reading bytes.
        Exception: What `error` makes: nothing is in it, too much, or it cannot be read.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        content = bytes(given)
    else:
        try:
            if getattr(given, "seekable", lambda: False)():
                given.seek(0)
            content = given.read(most_bytes + 1)
        except (OSError, ValueError) as reason:  # ValueError: it is closed
            raise error(f"cannot be read: {reason_of(reason)}") from reason
        if not isinstance(content, bytes):
            raise ValueError(
                f"a file to read from must give bytes, and this one gives "
                f"{type(content).__name__}; open it with mode 'rb', or give what is in it"
            )
    if not content:
        raise error("nothing is in it")
    if len(content) > most_bytes:
        raise error(f"expected at most {most_bytes >> 20} MiB, found more")
    return content
