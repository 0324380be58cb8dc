"""Read tensors from safetensors and gguf files, one at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..terminal_text import quoted
from .file_bytes import FileBytes
from .file_header import read_header
from .float8 import float8_values
from .gguf_header import GGML_TYPES
from .half_precision import float32_of_float16
from .hollow_file import check_not_hollow
from .scaled_weights import weight_scales
from .tensor_header import TensorHeader, TensorInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray
    from typing_extensions import Self

__all__ = ["TensorFile"]

_PLAIN = {
    "f16": "<f2",
    "f32": "<f4",
    "f64": "<f8",
    "bool": "?",
    "u8": "u1",
    "i8": "i1",
    "u16": "<u2",
    "i16": "<i2",
    "u32": "<u4",
    "i32": "<i4",
    "u64": "<u8",
    "i64": "<i8",
}
_HASH_CHUNK_BYTES = 1 << 20
_HASH_THREADS = 4


class TensorFile:
    """A safetensors or gguf file, its header checked, its tensors read on demand.

    A context manager. Arrays that were read stay valid when it is closed.

    Args:
        path: The file.
        known: Its stamp and its header, when that was read before: it is not read again if the
            file is still the same.

    Raises:
        ModelFileError: Missing, a folder, empty, damaged, truncated, or of another format; a
            weight's scale that is not right.

    Attributes:
        path: As given.
        stamp: What `file_stamp` said of it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        known: tuple[tuple[int, ...], TensorHeader] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._content = FileBytes(path)
        self.stamp = self._content.stamp
        try:
            if known is not None and known[0] == self.stamp:
                self.header = known[1]
            else:
                self.header = read_header(self._content, self.path)
            self._scales = weight_scales(self.header, self._content, self.path)
        except BaseException:
            self._content.close()
            raise

    @property
    def format(self) -> str:
        """ "safetensors" or "gguf"."""
        return self.header.format

    @property
    def metadata(self) -> Mapping[str, object]:
        return self.header.metadata

    @property
    def size_bytes(self) -> int:
        return self.header.size_bytes

    def names(self) -> list[str]:
        """Names of all tensors, in file order."""
        return list(self.header.tensors)

    def __contains__(self, name: str) -> bool:
        return name in self.header.tensors

    def info(self, name: str) -> TensorInfo:
        """Raises ModelFileError when there is no such tensor."""
        try:
            return self.header.tensors[name]
        except KeyError:
            raise ModelFileError(f"{self.path}: has no tensor {quoted(name)}") from None

    def shape(self, name: str) -> tuple[int, ...]:
        """Row-major shape."""
        return self.info(name).shape

    def dtype(self, name: str) -> str:
        """Stored element type in lower case: "bf16", "f16", "f32", "q8_0", ..."""
        return self.info(name).dtype

    def read(
        self, name: str, dtype: DTypeLike = "float32", rows: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        """Read one tensor, converted or dequantized, times its scale where the file has one.

        Args:
            name: The tensor.
            dtype: Element type of the result.
            rows: The first row to read and the first not to; None: all.

        Returns:
            A new C-contiguous array of the tensor's row-major shape.

        Raises:
            ModelFileError: No such tensor, a stored type that cannot be converted, or the file
                was cut meanwhile.
            ValueError: No such rows.
        """
        import numpy as np

        info = self.info(name) if rows is None else self.info(name).rows(*rows)
        scale = self._scales.get(name)
        if scale is None:
            return self._converted(info, np.dtype(dtype))
        values: np.ndarray = self._converted(info, np.dtype(np.float32)) * np.float32(scale)
        return values.astype(dtype, copy=False)

    def check_unchanged(self) -> None:
        """Refuse to go on with a file that was written to since it was opened.

        Raises:
            ModelFileError: It was.
        """
        self._content.check_unchanged()

    def check_not_hollow(self, kind: str) -> None:
        """Refuse a file whose data is zeros; see `hollow_file`.

        Args:
            kind: See `file_kinds.classify`.

        Raises:
            ModelFileError: It is.
        """
        check_not_hollow(self._content, self.header.tensors.values(), kind)

    def _stored(self, info: TensorInfo) -> NDArray[np.uint8]:
        """The bytes of a tensor."""
        import numpy as np

        stored = np.empty(info.nbytes, np.uint8)
        if info.nbytes:
            self._content.read_into(stored, info.offset)
        return stored

    def _converted(self, info: TensorInfo, dtype: np.dtype[Any]) -> NDArray[Any]:
        import numpy as np

        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if info.dtype == "f16" and dtype == np.float32:
                return float32_of_float16(self._stored(info).view("<f2")).reshape(info.shape)
            if info.dtype in _PLAIN:
                stored = self._stored(info).view(_PLAIN[info.dtype])
                return stored.astype(dtype, copy=False).reshape(info.shape)
            if info.dtype == "bf16":
                bits = self._stored(info).view("<u2").astype(np.uint32)
                bits <<= 16
                return bits.view(np.float32).reshape(info.shape).astype(dtype, copy=False)
            if info.dtype in ("f8_e4m3", "f8_e5m2"):
                values = float8_values(info.dtype)[self._stored(info)]
                return values.astype(dtype, copy=False).reshape(info.shape)
            return self._dequantized(info).astype(dtype, copy=False)

    def _dequantized(self, info: TensorInfo) -> NDArray[Any]:
        import gguf
        import numpy as np

        blocks = {name: (elements, size) for name, elements, size in GGML_TYPES.values()}
        if info.dtype not in blocks:
            raise ModelFileError(
                f"{self.path}: tensor {quoted(info.name)} is {info.dtype}, which cannot be read"
            )
        elements, size = blocks[info.dtype]
        row_bytes = info.shape[-1] // elements * size
        try:
            values = gguf.quants.dequantize(
                self._stored(info).reshape(*info.shape[:-1], row_bytes),
                gguf.GGMLQuantizationType[info.dtype.upper()],
            )
        except (NotImplementedError, KeyError):
            raise ModelFileError(
                f"{self.path}: tensor {quoted(info.name)} is {info.dtype}, which cannot be read;"
                " use a file in F16, BF16 or Q8_0"
            ) from None
        return np.ascontiguousarray(values, np.float32).reshape(info.shape)

    def content_sha256(self, names: Iterable[str]) -> str:
        """Hash of some tensors: names, types, shapes, bytes and scales, in the order given.

        Half a second per gigabyte on two processor cores.

        Raises:
            ModelFileError: No such tensor.
        """
        infos = [self.info(name) for name in names]
        digest = hashlib.sha256()
        with ThreadPoolExecutor(_HASH_THREADS) as threads:
            for info, content in zip(infos, threads.map(self._sha256_of, infos), strict=True):
                digest.update(repr((info.name, info.dtype, info.shape)).encode() + content)
                if info.name in self._scales:
                    digest.update(repr(self._scales[info.name]).encode())
        return digest.hexdigest()

    def _sha256_of(self, info: TensorInfo) -> bytes:
        digest = hashlib.sha256()
        start, end = info.offset, info.offset + info.nbytes
        chunk = bytearray(min(_HASH_CHUNK_BYTES, end - start))
        for offset in range(start, end, _HASH_CHUNK_BYTES):
            with memoryview(chunk)[: min(_HASH_CHUNK_BYTES, end - offset)] as part:
                self._content.read_into(part, offset)
                digest.update(part)
        return digest.digest()

    def close(self) -> None:
        self._content.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
