"""Open a file of tensors: memory-map it, read and check its header."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from .errors import ModelFileError
from .file_signature import SIGNATURE_BYTES, signature
from .gguf_header import MAX_HEADER_BYTES, parse_gguf
from .regular_file import NotRegularError, open_regular
from .safetensors_header import parse_safetensors
from .tensor_header import TensorHeader

__all__ = ["file_stamp", "map_file", "read_header"]


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Numbers that tell whether a file is still the same, without reading it.

    Returns:
        Size, times of the last change of content (ns) and of anything (ns; on Windows, of
        creation), and inode; () when there is no such file.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def map_file(path: str | os.PathLike[str], what: str = "a model file") -> mmap.mmap:
    """Map a whole file read-only.

    Args:
        path: The file.
        what: What is expected there, with an article, for the error message.

    Raises:
        ModelFileError: The file is missing, no regular file, unreadable or empty.
    """
    source = Path(path)
    try:
        with open_regular(source) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ModelFileError(f"{source}: expected {what}, found an empty file")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except NotRegularError as error:
        hint = "; name a file in it" if error.found == "a folder" else ""
        raise ModelFileError(f"{source}: expected {what}, found {error.found}{hint}") from None
    except FileNotFoundError:
        raise ModelFileError(f"{source}: no such file (expected {what})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"{source}: cannot read it: {reason}") from error


def read_header(
    buffer: bytes | mmap.mmap, source: str, max_header_bytes: int = MAX_HEADER_BYTES
) -> TensorHeader:
    """Read and check the header of a mapped gguf or safetensors file.

    Raises:
        ModelFileError: Neither format, or damaged; the message says what it looks like instead.
    """
    head = bytes(buffer[:SIGNATURE_BYTES])
    found = signature(head)
    if found == "a gguf file":
        return parse_gguf(buffer, source, max_header_bytes)
    if found == "a safetensors file":
        return parse_safetensors(buffer, source, max_header_bytes)
    if source.endswith(".index.json"):
        found = "the list of a model's parts, and the engine reads only whole models"
    raise ModelFileError(f"{source}: expected a safetensors or gguf file, found {found}")
