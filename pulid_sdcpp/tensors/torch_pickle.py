"""The tensors that a torch checkpoint's pickle lists, checked against themselves.

Source: PyTorch, torch/_utils.py (`_rebuild_tensor_v2`, `_rebuild_tensor_v3`, `_rebuild_parameter`)
and torch/serialization.py (`persistent_id`): what a state dict is pickled as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ..terminal_text import quoted
from .data_pickle import NamedThing, unpickled
from .pickle_codes import PickleError
from .tensor_header import MAX_NAME_BYTES

__all__ = [
    "ITEM_BYTES",
    "ListedTensor",
    "SavedObject",
    "TorchStorage",
    "named_tensors",
    "read_torch_pickle",
]

MAX_DIMS = 8
_MAX_NUMBER = 1 << 62

ITEM_BYTES = {
    "f64": 8, "f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1,
    "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u8": 1, "bool": 1,
}  # fmt: skip
"""Bytes of a number, by element type as `TensorInfo` names it."""

_STORAGES = {
    "Double": "f64", "Float": "f32", "Half": "f16", "BFloat16": "bf16", "Long": "i64",
    "Int": "i32", "Short": "i16", "Char": "i8", "Byte": "u8", "Bool": "bool",
}  # fmt: skip
_DTYPES = {
    "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16",
    "float8_e4m3fn": "f8_e4m3", "float8_e5m2": "f8_e5m2", "int64": "i64", "int32": "i32",
    "int16": "i16", "int8": "i8", "uint8": "u8", "bool": "bool",
}  # fmt: skip
_WRAPPERS = ("state_dict", "model", "module")
"""Under which training programs put the tensors, beside what else they keep."""


@dataclass(frozen=True)
class TorchStorage:
    """Numbers that lie in a row, of which tensors are views.

    Attributes:
        key: Its name in the checkpoint.
        nbytes: Its size, as the pickle says.
        dtype: As `TensorInfo`; "": each tensor says its own.
    """

    key: str
    nbytes: int
    dtype: str


@dataclass(frozen=True)
class ListedTensor:
    """A tensor as the pickle describes it; every number of it lies inside its storage.

    Attributes:
        storage: What it is a view of.
        dtype: As `TensorInfo`.
        shape: Row-major.
        strides: Of each dimension, in numbers.
        start: Its first number in the storage.
    """

    storage: TorchStorage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class SavedObject:
    """What a pickle holds.

    Attributes:
        value: With a `ListedTensor` for each tensor.
        storages: All that it names, by their keys.
        end: Where the pickle ends.
    """

    value: Any
    storages: Mapping[str, TorchStorage]
    end: int


def read_torch_pickle(data: bytes, start: int = 0) -> SavedObject:
    """Read a pickle of `torch.save`.

    Raises:
        PickleError: Damaged, or something else than tensors and plain data.
    """
    storages: dict[str, TorchStorage] = {}

    def stored(words: Any) -> TorchStorage:
        storage = _storage(words)
        if storages.setdefault(storage.key, storage) != storage:
            raise PickleError("a pickle with a storage of two sizes")
        return storage

    value, end = unpickled(data, start, _THINGS, stored)
    return SavedObject(value, storages, end)


def named_tensors(content: Any) -> dict[str, ListedTensor]:
    """The tensors of a state dict, or of one that a training program put something beside.

    Raises:
        PickleError: There are none, or one has no name that it could have.
    """
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict):
        raise PickleError(f"expected named tensors, found a {_kind(content)}")
    named = {name: value for name, value in content.items() if isinstance(value, ListedTensor)}
    if not named:
        raise PickleError("expected named tensors, found a checkpoint without any")
    for name in named:
        if not isinstance(name, str) or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
            raise PickleError(f"expected named tensors, found one called {quoted(name)}")
    return named


def _kind(content: Any) -> str:
    return "tensor" if isinstance(content, ListedTensor) else type(content).__name__


def _storage(words: Any) -> TorchStorage:
    """("storage", its class, key, where it was, how many numbers[, None: it is no part])."""
    if type(words) is not tuple or len(words) not in (5, 6) or words[0] != "storage":
        raise PickleError("a pickle with a storage that is not described as one")
    _, kind, key, _, count, *part = words
    if not isinstance(kind, NamedThing) or not kind.name.endswith("Storage"):
        raise PickleError("a pickle with a storage of no type")
    if not isinstance(key, str) or not _is_size(count):
        raise PickleError("a pickle with a storage that is not described as one")
    if part not in ([], [None]):
        raise PickleError("a pickle with a storage that is a part of another")
    dtype = _STORAGES.get(kind.name.removeprefix("torch.").removesuffix("Storage"), "")
    return TorchStorage(key, count * ITEM_BYTES.get(dtype, 1), dtype)


def _tensor(storage: Any, start: Any, shape: Any, strides: Any, *rest: Any) -> ListedTensor:
    """`_rebuild_tensor_v2`; what follows says who may change it."""
    if not isinstance(storage, TorchStorage) or not storage.dtype:
        raise PickleError("a pickle with a tensor of no storage")
    return _view(storage, storage.dtype, start, shape, strides)


def _typed_tensor(
    storage: Any, start: Any, shape: Any, strides: Any, _: Any, __: Any, dtype: Any, *rest: Any
) -> ListedTensor:
    """`_rebuild_tensor_v3`."""
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, NamedThing) else ""
    if not isinstance(storage, TorchStorage) or name not in _DTYPES:
        raise PickleError("a pickle with a tensor of no type")
    return _view(storage, _DTYPES[name], start, shape, strides)


def _view(storage: TorchStorage, dtype: str, start: Any, shape: Any, strides: Any) -> ListedTensor:
    if not all(type(sizes) is tuple and all(map(_is_size, sizes)) for sizes in (shape, strides)):
        raise PickleError("a pickle with a tensor whose sizes are no numbers")
    if len(shape) != len(strides) or len(shape) > MAX_DIMS or not _is_size(start):
        raise PickleError(
            f"a pickle with a tensor of {len(shape)} sizes and {len(strides)} strides"
        )
    count = storage.nbytes // ITEM_BYTES[dtype]
    last = start + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    # More numbers than the storage has would be some of them many times: a view that grows.
    if prod(shape) and (last >= count or prod(shape) > count):
        raise PickleError(
            f"a tensor {list(shape)} at {start} with the strides {list(strides)}, of a storage "
            f"of {count} numbers"
        )
    return ListedTensor(storage, dtype, shape, strides, start)


def _parameter(tensor: Any, *rest: Any) -> ListedTensor:
    if not isinstance(tensor, ListedTensor):
        raise PickleError("a pickle with a parameter that is no tensor")
    return tensor


def _size(sizes: Any) -> tuple[Any, ...]:
    if type(sizes) is not tuple:
        raise PickleError("a pickle with a tensor whose sizes are no numbers")
    return sizes


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """`OrderedDict`, in Python 2 with what is in it, as a list that is used up by that."""
    if pairs == ():
        return {}
    if type(pairs) is not list or not all(_is_pair(pair) for pair in pairs):
        raise PickleError("a pickle with a dictionary of something else than names")
    made = {pair[0]: pair[1] for pair in pairs}
    pairs.clear()
    return made


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_NUMBER


def _things(named: Iterable[tuple[str, Callable[..., Any] | None]]) -> Mapping[str, NamedThing]:
    return {name: NamedThing(name, make) for name, make in named}


_THINGS = _things(
    [
        ("collections.OrderedDict", _dictionary),
        ("torch._utils._rebuild_tensor", _tensor),
        ("torch._utils._rebuild_tensor_v2", _tensor),
        ("torch._utils._rebuild_tensor_v3", _typed_tensor),
        ("torch._utils._rebuild_parameter", _parameter),
        ("torch.Size", _size),
        ("torch.storage.UntypedStorage", None),
        *((f"torch.{kind}Storage", None) for kind in _STORAGES),
        *((f"torch.{dtype}", None) for dtype in _DTYPES),
    ]
)
