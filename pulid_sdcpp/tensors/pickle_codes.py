"""The codes of a pickle, and what follows each, up to protocol 4: those that data needs.

Source: CPython, Lib/pickletools.py, where every code is described.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["PickleError", "pickle_codes"]


class PickleError(Exception):
    """What is wrong with a pickle, in words that follow a file's name."""


def pickle_codes(data: bytes, start: int, most: int) -> Iterator[tuple[str, Any, int]]:
    """The codes of one pickle in order, the last of them "STOP".

    Args:
        data: Where it is in.
        start: Where it begins.
        most: Codes that it may have.

    Yields:
        A code's name, what it says, and where the next one begins.

    Raises:
        PickleError: It ends too early, is too long, or has a code that data does not need.
    """
    at = start
    for _ in range(most):
        name, read = _CODES.get(data[at : at + 1], ("", None))
        if read is None:
            what = f"code {data[at]:#x}, which none for tensors has" if at < len(data) else "no end"
            raise PickleError(f"a pickle with {what}")
        try:
            value, at = read(data, at + 1)
        except (struct.error, ValueError):
            raise PickleError(f"a pickle that ends within {name}") from None
        yield name, value, at
        if name == "STOP":
            return
    raise PickleError(f"a pickle of more than {most} codes")


_Reader = Callable[[bytes, int], "tuple[Any, int]"]


def _nothing(data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _number(form: str) -> _Reader:
    layout = struct.Struct(form)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        return layout.unpack_from(data, at)[0], at + layout.size

    return read


def _counted(form: str, convert: Callable[[bytes], Any]) -> _Reader:
    """So many bytes as a number before them says."""
    count_of = _number(form)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        count, at = count_of(data, at)
        if not 0 <= count <= len(data) - at:
            raise ValueError("more than there is")
        return convert(data[at : at + count]), at + count

    return read


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _latin(content: bytes) -> str:
    """Of Python 2, where texts were bytes."""
    return content.decode("latin-1")


def _whole(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


def _two_lines(data: bytes, at: int) -> tuple[tuple[str, str], int]:
    middle = data.index(b"\n", at)
    end = data.index(b"\n", middle + 1)
    return (data[at:middle].decode(), data[middle + 1 : end].decode()), end + 1


_CODES: dict[bytes, tuple[str, _Reader]] = {
    b"\x80": ("PROTO", _number("B")),
    b"\x95": ("FRAME", _number("<Q")),
    b".": ("STOP", _nothing),
    b"(": ("MARK", _nothing),
    b"0": ("POP", _nothing),
    b"N": ("NONE", _nothing),
    b"\x88": ("NEWTRUE", _nothing),
    b"\x89": ("NEWFALSE", _nothing),
    b"K": ("NUMBER", _number("B")),
    b"M": ("NUMBER", _number("<H")),
    b"J": ("NUMBER", _number("<i")),
    b"G": ("NUMBER", _number(">d")),
    b"\x8a": ("NUMBER", _counted("B", _whole)),
    b"U": ("TEXT", _counted("B", _latin)),
    b"T": ("TEXT", _counted("<i", _latin)),
    b"\x8c": ("TEXT", _counted("B", _text)),
    b"X": ("TEXT", _counted("<I", _text)),
    b"\x8d": ("TEXT", _counted("<Q", _text)),
    b"C": ("BYTES", _counted("B", bytes)),
    b"B": ("BYTES", _counted("<I", bytes)),
    b")": ("EMPTY_TUPLE", _nothing),
    b"]": ("EMPTY_LIST", _nothing),
    b"}": ("EMPTY_DICT", _nothing),
    b"t": ("TUPLE", _nothing),
    b"\x85": ("TUPLE1", _nothing),
    b"\x86": ("TUPLE2", _nothing),
    b"\x87": ("TUPLE3", _nothing),
    b"l": ("LIST", _nothing),
    b"d": ("DICT", _nothing),
    b"a": ("APPEND", _nothing),
    b"e": ("APPENDS", _nothing),
    b"s": ("SETITEM", _nothing),
    b"u": ("SETITEMS", _nothing),
    b"q": ("PUT", _number("B")),
    b"r": ("PUT", _number("<I")),
    b"\x94": ("MEMOIZE", _nothing),
    b"h": ("GET", _number("B")),
    b"j": ("GET", _number("<I")),
    b"c": ("GLOBAL", _two_lines),
    b"\x93": ("STACK_GLOBAL", _nothing),
    b"Q": ("PERSISTENT", _nothing),
    b"R": ("REDUCE", _nothing),
    b"b": ("BUILD", _nothing),
}
