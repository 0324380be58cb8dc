"""Strict, bounded reader of gguf headers.

Files come from strangers. The `gguf` package's reader trusts the counts and lengths it
finds, so this one is our own: nothing is allocated for a length before the bytes are
known to be there, and every count has a ceiling. It reads the header only, which takes
milliseconds on a 12 GB file.

Source: the gguf specification, ggml/docs/gguf.md; block sizes from ggml.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..errors import ModelFileError
from ..terminal_text import quoted
from .tensor_header import MAX_NAME_BYTES, TensorHeader, TensorInfo

if TYPE_CHECKING:
    from .file_bytes import FileBytes

__all__ = ["GGML_TYPES", "MAX_HEADER_BYTES", "OmittedArray", "parse_gguf"]

MAX_HEADER_BYTES = 64 << 20
"""Vocabularies of text encoders take up to 10 MB; nothing sane takes more than this."""
MAX_TENSORS = 1 << 16
MAX_KEYS = 1 << 16
MAX_ARRAY_STRINGS = 1 << 20
MAX_KEY_BYTES = 1 << 16
MAX_DIMS = 5
"""ggml has 4; the engine folds the fifth of a video model into the fourth."""
MAX_ELEMENTS = 1 << 42
MAX_ALIGNMENT = 1 << 16
KEPT_ARRAY_LENGTH = 64

GGML_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    9: ("q8_1", 32, 36),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1),
    25: ("i16", 1, 2),
    26: ("i32", 1, 4),
    27: ("i64", 1, 8),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
}
"""ggml type number: (name, elements in a block, bytes of a block)."""

_SCALARS = {
    0: ("uint8", struct.Struct("<B")),
    1: ("int8", struct.Struct("<b")),
    2: ("uint16", struct.Struct("<H")),
    3: ("int16", struct.Struct("<h")),
    4: ("uint32", struct.Struct("<I")),
    5: ("int32", struct.Struct("<i")),
    6: ("float32", struct.Struct("<f")),
    7: ("bool", struct.Struct("<?")),
    10: ("uint64", struct.Struct("<Q")),
    11: ("int64", struct.Struct("<q")),
    12: ("float64", struct.Struct("<d")),
}
_STRING = 8
_ARRAY = 9
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


@dataclass(frozen=True)
class OmittedArray:
    """A gguf array too long to keep: its element type and length."""

    type: str
    length: int


def parse_gguf(
    buffer: bytes | FileBytes, source: str, max_header_bytes: int = MAX_HEADER_BYTES
) -> TensorHeader:
    """Read and check the header of a gguf file.

    Args:
        buffer: The whole file, as bytes or as what reads it.
        source: The file's name, for error messages.
        max_header_bytes: Refuse metadata and tensor list longer than this in all.

    Raises:
        ModelFileError: Not gguf (version 2 or 3, little-endian), damaged, truncated, or oversized.
    """
    reader = _HeaderReader(buffer, source, max_header_bytes)
    if reader.take(4, "the magic") != b"GGUF":
        raise ModelFileError(f"{source}: expected a gguf file, found other content")
    version = reader.u32("the version")
    if version not in (2, 3):
        if version in (2 << 24, 3 << 24):
            raise ModelFileError(
                f"{source}: a big-endian gguf file, which is not supported; convert it again"
                " on or for a little-endian machine"
            )
        raise ModelFileError(f"{source}: expected gguf version 2 or 3, found version {version}")
    n_tensors = reader.u64("the number of tensors")
    n_keys = reader.u64("the number of metadata keys")
    if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
        raise ModelFileError(
            f"{source}: damaged gguf file: {n_tensors} tensors and {n_keys} metadata keys declared"
            f" (limits {MAX_TENSORS} and {MAX_KEYS})"
        )

    metadata: dict[str, object] = {}
    for _ in range(n_keys):
        key = reader.string("a metadata key", MAX_KEY_BYTES)
        if key in metadata:
            raise ModelFileError(f"{source}: damaged gguf file: metadata key {quoted(key)} twice")
        metadata[key] = _value(reader, key)

    alignment = metadata.get("general.alignment", 32)
    if (
        type(alignment) is not int
        or not 1 <= alignment <= MAX_ALIGNMENT
        or alignment & (alignment - 1)
    ):
        raise ModelFileError(
            f"{source}: damaged gguf file: general.alignment is {quoted(alignment)},"
            f" expected a power of two up to {MAX_ALIGNMENT}"
        )

    relative: list[TensorInfo] = [_tensor_info(reader) for _ in range(n_tensors)]
    data_offset = -(-reader.position // alignment) * alignment
    size = len(buffer)
    tensors: dict[str, TensorInfo] = {}
    for info in relative:
        if info.name in tensors:
            raise ModelFileError(f"{source}: damaged gguf file: tensor {quoted(info.name)} twice")
        if info.offset % alignment:
            raise ModelFileError(
                f"{source}: damaged gguf file: tensor {quoted(info.name)} starts at {info.offset},"
                f" not a multiple of the alignment {alignment}"
            )
        tensors[info.name] = TensorInfo(
            info.name, info.shape, info.dtype, data_offset + info.offset, info.nbytes
        )
    end = data_offset
    for info in sorted(tensors.values(), key=lambda tensor: tensor.offset):
        if info.offset < end:
            raise ModelFileError(
                f"{source}: damaged gguf file: tensor {quoted(info.name)} overlaps another"
            )
        end = info.offset + info.nbytes
    if end > size and tensors:
        raise ModelFileError(
            f"{source}: truncated: its tensors need {end} bytes, the file has {size};"
            " download or write it again"
        )
    return TensorHeader("gguf", tensors, metadata, data_offset, size)


class _HeaderReader:
    """A position in the header that never moves past the file's end or the allowed length."""

    def __init__(self, buffer: bytes | FileBytes, source: str, limit: int) -> None:
        self.buffer = buffer
        self.source = source
        self.limit = limit
        self.size = len(buffer)
        self.position = 0

    def skip(self, count: int, what: str) -> int:
        """Move on by `count` bytes; returns where they begin."""
        start = self.position
        if start + count > self.limit:
            raise ModelFileError(
                f"{self.source}: oversized metadata: {what} would take the header past"
                f" {self.limit} bytes"
            )
        if start + count > self.size:
            raise ModelFileError(
                f"{self.source}: truncated: {what} needs {count} bytes at {start},"
                f" the file has {self.size}"
            )
        self.position = start + count
        return start

    def take(self, count: int, what: str) -> bytes:
        start = self.skip(count, what)
        return self.buffer[start : self.position]

    def u32(self, what: str) -> int:
        value: int = _U32.unpack(self.take(4, what))[0]
        return value

    def u64(self, what: str) -> int:
        value: int = _U64.unpack(self.take(8, what))[0]
        return value

    def string(self, what: str, limit: int) -> str:
        length = self.u64(what)
        if length > limit:
            raise ModelFileError(
                f"{self.source}: oversized metadata: {what} of {length} bytes (limit {limit})"
            )
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError:
            raise ModelFileError(f"{self.source}: damaged gguf file: {what} is not UTF-8") from None


def _value(reader: _HeaderReader, key: str) -> object:
    what = f"metadata {quoted(key)}"
    kind = reader.u32(what)
    if kind == _STRING:
        return reader.take(reader.u64(what), what).decode(errors="replace")
    if kind == _ARRAY:
        return _array(reader, what)
    if kind not in _SCALARS:
        raise ModelFileError(
            f"{reader.source}: damaged gguf file: {what} has the unknown type {kind}"
        )
    layout = _SCALARS[kind][1]
    return layout.unpack(reader.take(layout.size, what))[0]


def _array(reader: _HeaderReader, what: str) -> object:
    kind = reader.u32(what)
    length = reader.u64(what)
    if kind == _STRING:
        if length > MAX_ARRAY_STRINGS:
            raise ModelFileError(
                f"{reader.source}: oversized metadata: {what} has {length} strings"
                f" (limit {MAX_ARRAY_STRINGS})"
            )
        if length <= KEPT_ARRAY_LENGTH:
            return tuple(
                reader.take(reader.u64(what), what).decode(errors="replace") for _ in range(length)
            )
        for _ in range(length):
            reader.skip(reader.u64(what), what)
        return OmittedArray("string", length)
    if kind not in _SCALARS:
        raise ModelFileError(
            f"{reader.source}: damaged gguf file: {what} is an array of the unknown type {kind}"
        )
    name, layout = _SCALARS[kind]
    if length > KEPT_ARRAY_LENGTH:
        reader.skip(length * layout.size, what)
        return OmittedArray(name, length)
    content = reader.take(length * layout.size, what)
    return tuple(number for (number,) in layout.iter_unpack(content))


def _tensor_info(reader: _HeaderReader) -> TensorInfo:
    """One entry of the tensor list; its offset is still relative to the data."""
    name = reader.string("a tensor name", MAX_NAME_BYTES)
    what = f"tensor {quoted(name)}"
    n_dims = reader.u32(what)
    if n_dims > MAX_DIMS:
        raise ModelFileError(
            f"{reader.source}: damaged gguf file: {what} has {n_dims} dimensions (limit {MAX_DIMS})"
        )
    shape = tuple(reader.u64(what) for _ in range(n_dims))[::-1]
    kind = reader.u32(what)
    offset = reader.u64(what)
    if kind not in GGML_TYPES:
        raise ModelFileError(
            f"{reader.source}: {what} has the type number {kind}, unknown to this version"
        )
    dtype, block, block_bytes = GGML_TYPES[kind]
    n_elements = prod(shape)
    if not 1 <= n_elements <= MAX_ELEMENTS:
        raise ModelFileError(
            f"{reader.source}: damaged gguf file: {what} has the implausible shape {list(shape)}"
        )
    row = shape[-1] if shape else 1
    if row % block:
        raise ModelFileError(
            f"{reader.source}: damaged gguf file: {what} has rows of {row} elements,"
            f" {dtype} needs a multiple of {block}"
        )
    return TensorInfo(name, shape, dtype, offset, n_elements // block * block_bytes)
