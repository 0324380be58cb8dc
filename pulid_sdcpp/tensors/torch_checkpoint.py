"""PyTorch checkpoints, `.pt`, `.pth` and `.bin`: their tensors, and nothing else, without PyTorch.

Both forms of `torch.save` are read: a zip archive, and before PyTorch 1.6 pickles with the numbers
behind them. Nothing in a file is run (see `data_pickle`), and all sizes are checked against the
file before anything of them is made room for. Tensors are read, not memory-mapped: see
`file_bytes`.

Source: PyTorch, torch/serialization.py (`_save`, `_legacy_save`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..terminal_text import quoted
from .file_bytes import FileBytes
from .float8 import float8_values
from .half_precision import float32_of_float16
from .pickle_codes import PickleError
from .stored_zip import StoredMember, stored_members
from .torch_pickle import (
    ITEM_BYTES,
    ListedTensor,
    named_tensors,
    read_torch_pickle,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["StoredTensor", "TorchCheckpoint"]

MAX_PICKLE_BYTES = 4 << 20
"""The list of tensors; EVA02-CLIP's has 0.1 MB."""

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_NUMPY = {
    "f64": "<f8", "f32": "<f4", "f16": "<f2", "bf16": "<u2", "f8_e4m3": "u1", "f8_e5m2": "u1",
    "i64": "<i8", "i32": "<i4", "i16": "<i2", "i8": "i1", "u8": "u1", "bool": "?",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as its file has it.

    Attributes:
        dtype: As `TensorInfo`: "f32", "bf16", ...
        values: Of its shape; bf16 and float8, which NumPy has not, as whole numbers of their bits.
            May be a view that is not contiguous, and of numbers that other tensors are of, too.
    """

    dtype: str
    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Row-major."""
        return tuple(self.values.shape)

    def float32(self) -> NDArray[np.float32]:
        """Its numbers, as they are where they are float32 already."""
        import numpy as np

        values: NDArray[Any] = self.values
        if self.dtype == "bf16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        if self.dtype in ("f8_e4m3", "f8_e5m2"):
            values = float8_values(self.dtype)[values]
        if self.dtype == "f16":
            return float32_of_float16(np.ascontiguousarray(values))
        numbers: NDArray[np.float32] = values.astype(np.float32, copy=False)
        return numbers


class TorchCheckpoint:
    """A checkpoint, its list of tensors checked, its numbers read on demand.

    A context manager. Arrays that were read stay valid when it is closed.

    Args:
        path: The file.

    Raises:
        ModelFileError: Missing, no checkpoint, damaged, truncated, or with something else in it
            than tensors and plain data.

    Attributes:
        path: As given.
        tensors: By name, in the file's order.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._content = FileBytes(path, "a PyTorch checkpoint")
        try:
            is_zip = self._content[:4] == b"PK\3\4"
            listed, self._places = (_of_zip if is_zip else _before_zip)(self._content)
            self.tensors: Mapping[str, ListedTensor] = listed
        except PickleError as error:
            self.close()
            raise ModelFileError(
                f"{self.path}: expected a PyTorch checkpoint of named tensors, it cannot be read: "
                f"{error}"
            ) from None
        except BaseException:
            self.close()
            raise

    def read(self, names: Iterable[str]) -> dict[str, StoredTensor]:
        """Some tensors; numbers that several of them have are in memory once.

        Raises:
            ModelFileError: There is no such tensor, or the file was cut meanwhile.
        """
        import numpy as np

        storages: dict[str, NDArray[np.uint8]] = {}
        found = {}
        for name in names:
            if name not in self.tensors:
                raise ModelFileError(f"{self.path}: has no tensor {quoted(name)}")
            tensor = self.tensors[name]
            key = tensor.storage.key
            if key not in storages:
                storages[key] = np.empty(self._places[key].nbytes, np.uint8)
                if len(storages[key]):
                    self._content.read_into(storages[key], self._places[key].offset)
            found[name] = _stored(tensor, storages[key])
        return found

    def check_unchanged(self) -> None:
        """Refuse to go on with a file that was written to since it was opened.

        Raises:
            ModelFileError: It was.
        """
        self._content.check_unchanged()

    def close(self) -> None:
        self._content.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _stored(tensor: ListedTensor, numbers: NDArray[np.uint8]) -> StoredTensor:
    import numpy as np
    from numpy.lib.stride_tricks import as_strided

    size = ITEM_BYTES[tensor.dtype]
    typed = numbers[: len(numbers) // size * size].view(_NUMPY[tensor.dtype])[tensor.start :]
    if 0 in tensor.shape:
        return StoredTensor(tensor.dtype, np.empty(tensor.shape, typed.dtype))
    steps = [step * size for step in tensor.strides]
    return StoredTensor(tensor.dtype, as_strided(typed, tensor.shape, steps))


_Listed = tuple[Mapping[str, ListedTensor], Mapping[str, StoredMember]]


def _of_zip(content: FileBytes) -> _Listed:
    members = stored_members(content)
    lists = [name for name in members if name.endswith("/data.pkl")]
    if len(lists) != 1 or lists[0].count("/") != 1:
        raise PickleError("a zip archive with no list of tensors, or with several")
    root = lists[0].removesuffix("data.pkl")
    if f"{root}byteorder" in members:
        member = members[f"{root}byteorder"]
        if content.read(member.offset, min(member.nbytes, 16)) != b"little":
            raise PickleError("its numbers are not in this computer's order of bytes")
    member = members[lists[0]]
    if member.nbytes > MAX_PICKLE_BYTES:
        raise PickleError(f"a list of tensors of {member.nbytes} bytes")
    saved = read_torch_pickle(content.read(member.offset, member.nbytes))
    if saved.end != member.nbytes:
        raise PickleError("something behind its list of tensors")
    places = {}
    for key, storage in saved.storages.items():
        place = members.get(f"{root}data/{key}")
        if place is None or place.nbytes != storage.nbytes:
            found = "which is missing" if place is None else f"which has {place.nbytes}"
            raise PickleError(
                f"expected {storage.nbytes} bytes in its member {quoted(f'data/{key}')}, {found}"
            )
        places[key] = place
    return named_tensors(saved.value), places


def _before_zip(content: FileBytes) -> _Listed:
    """Five pickles: a number, a version, the computer, what was saved, the storages' keys."""
    head = content.read(0, min(len(content), MAX_PICKLE_BYTES))
    magic = read_torch_pickle(head)
    if magic.value != _MAGIC:
        raise PickleError("it does not begin as one")
    version = read_torch_pickle(head, magic.end)
    computer = read_torch_pickle(head, version.end)
    if version.value != _PROTOCOL or not isinstance(computer.value, dict):
        raise PickleError("it is of another version")
    if computer.value.get("little_endian") is not True:
        raise PickleError("its numbers are not in this computer's order of bytes")
    saved = read_torch_pickle(head, computer.end)
    order = read_torch_pickle(head, saved.end)
    keys, at, storages = order.value, order.end, saved.storages
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise PickleError("it does not say in which order its numbers are")
    if sorted(keys) != sorted(storages):
        raise PickleError("it has other numbers than its tensors")
    places = {}
    for key in keys:
        nbytes = storages[key].nbytes
        if at + 8 + nbytes > len(content):
            raise PickleError(
                f"truncated: its numbers need {at + 8 + nbytes} bytes, the file has {len(content)}"
            )
        count = int.from_bytes(content.read(at, 8), "little")
        size = ITEM_BYTES.get(storages[key].dtype, 1)
        if count * size != nbytes:
            raise PickleError(f"expected {nbytes // size} numbers at byte {at}, found {count}")
        places[key] = StoredMember(at + 8, nbytes)
        at += 8 + nbytes
    if at != len(content):
        raise PickleError(f"{len(content) - at} bytes that belong to no tensor")
    return named_tensors(saved.value), places
