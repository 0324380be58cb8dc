"""Tensors out of a published weights file, for whatever computes with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.system.file_signature import SIGNATURE_BYTES, signature
from pulid_sdcpp.system.regular_file import NotRegularError, open_regular
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.file_header import read_header
from pulid_sdcpp.tensors.hollow_file import PAGE_BYTES
from pulid_sdcpp.tensors.tensor_header import TensorInfo
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor, TorchCheckpoint
from pulid_sdcpp.terminal_text import quoted, reason_of

__all__ = ["check_tensors", "read_weights", "shape_of", "without_prefix"]

MAX_NAMED = 3
"""How many tensor names an error lists before it only counts the rest."""

_NUMPY = {
    "f64": "<f8", "f32": "<f4", "f16": "<f2", "bf16": "<u2", "f8_e4m3": "u1", "f8_e5m2": "u1",
    "i64": "<i8", "i32": "<i4", "i16": "<i2", "i8": "i1", "u8": "u1", "bool": "?",
}  # fmt: skip
_FLOATS = ("f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2")
_SIGNS = {"bf16": 0x7FFF, "f8_e4m3": 0x7F, "f8_e5m2": 0x7F}


def read_weights(
    path: str | os.PathLike[str],
    prefix: str = "",
    *,
    choose: Callable[[Sequence[str]], Collection[str]] = lambda names: names,
) -> dict[str, StoredTensor]:
    """Read the tensors of a `.safetensors` file or a PyTorch checkpoint.

    What the file is, is told from its first bytes, not its name. Tensors are read and not
    memory-mapped: what becomes of the file afterwards changes no identity, and ends no process.
    Of a checkpoint nothing is run: see `torch_checkpoint`.

    Args:
        path: The weights file.
        prefix: Only tensors whose name starts so are returned, without it.
        choose: Given the names of all tensors in the file, returns those of the ones to read.

    Raises:
        ModelFileError: The file is missing, a folder, empty, damaged, or of another kind.
    """
    file = Path(path)
    try:
        with open_regular(file) as stream:
            start = stream.read(SIGNATURE_BYTES)
    except NotRegularError as error:
        raise ModelFileError(f"{file}: expected a weights file, found {error.found}") from None
    except FileNotFoundError:
        raise ModelFileError(f"{file}: no such file; expected a weights file") from None
    except OSError as error:
        raise ModelFileError(f"{file}: cannot be read: {reason_of(error)}") from error
    if not start:
        raise ModelFileError(f"{file}: expected a weights file, found an empty file")
    if start.startswith(b"GGUF"):
        raise ModelFileError(
            f"{file}: expected safetensors or a PyTorch checkpoint, found gguf; "
            "extraction reads the weights as they were published"
        )
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return _read_torch(file, prefix, choose)
    if len(start) > 8 and start[8:9] == b"{":
        return _read_safetensors(file, prefix, choose)
    raise ModelFileError(
        f"{file}: expected safetensors or a PyTorch checkpoint, found {signature(start)}"
    )


def without_prefix(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """The tensors whose name starts with `prefix`, named without it."""
    return {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }


def shape_of(
    tensors: Mapping[str, StoredTensor],
    path: Path,
    what: str,
    name: str,
    rank: int,
    *,
    prefix: str = "",
) -> tuple[int, ...]:
    """The shape of a tensor that must be there.

    Args:
        tensors: Of the file, without the prefix.
        path: The file, for the error message.
        what: What it holds.
        name: Of the tensor.
        rank: How many dimensions it has.
        prefix: Before its name in the file.

    Raises:
        ModelFileError: It is missing, or has another number of dimensions.
    """
    tensor = tensors.get(name)
    if tensor is None or len(tensor.shape) != rank:
        found = "is missing" if tensor is None else f"has shape {list(tensor.shape)}"
        raise ModelFileError(f"{path}: expected the {what}, its tensor {prefix}{name} {found}")
    return tensor.shape


def check_tensors(
    wanted: Mapping[str, tuple[Sequence[int], bool]],
    tensors: Mapping[str, StoredTensor],
    path: Path,
    what: str,
) -> None:
    """Refuse a file that has not the tensors of a network, whoever computes it.

    Args:
        wanted: Shape by name, and whether it is of floating point numbers.
        tensors: Those of the file; others than the wanted are ignored.
        path: The file they come from, for errors.
        what: What the file should hold, for errors, such as "EVA02-CLIP vision tower".

    Raises:
        ModelFileError: A tensor is missing, has another shape or an integer type, or is a
            matrix of zeros.
    """
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise ModelFileError(
            f"{path}: expected the {what}, {len(missing)} of its {len(wanted)} tensors are "
            f"missing: {_some(missing)}"
        )
    for name, (shape, is_float) in wanted.items():
        found = tensors[name]
        if found.shape != tuple(shape):
            raise ModelFileError(
                f"{path}: tensor {name} of the {what}: expected shape {list(shape)}, found "
                f"{list(found.shape)}"
            )
        if (found.dtype in _FLOATS) != is_float:
            kind = "floating point numbers" if is_float else "whole numbers"
            raise ModelFileError(
                f"{path}: tensor {name} of the {what}: expected {kind}, found {found.dtype}"
            )
    _check_not_zeros({name: tensors[name] for name in wanted}, path, what)


def _check_not_zeros(tensors: Mapping[str, StoredTensor], path: Path, what: str) -> None:
    """Refuse matrices of zeros: of a download that was not finished, or a damaged disk."""
    matrices = {
        name: tensor
        for name, tensor in tensors.items()
        if tensor.dtype in _FLOATS
        and sum(size > 1 for size in tensor.shape) >= 2
        and tensor.values.nbytes >= PAGE_BYTES
    }
    zeros = [name for name, tensor in matrices.items() if _is_zeros(tensor)]
    if zeros:
        raise ModelFileError(
            f"{path}: {len(zeros)} of the {len(matrices)} matrices of the {what} are zeros: "
            f"{_some(zeros)}; a download that was not finished, or a damaged disk: get it again"
        )


def _is_zeros(tensor: StoredTensor) -> bool:
    flat = tensor.values.reshape(-1)
    bits = _SIGNS.get(tensor.dtype, -1)  # of a type that NumPy has not, -0 has one

    def is_zeros(part: NDArray[Any]) -> bool:
        return not (part & bits if bits > 0 else part).any()

    return is_zeros(flat[len(flat) // 2 :][:1024]) and is_zeros(flat)


def _read_torch(
    file: Path, prefix: str, choose: Callable[[Sequence[str]], Collection[str]]
) -> dict[str, StoredTensor]:
    with TorchCheckpoint(file) as checkpoint:
        chosen = choose(list(checkpoint.tensors))
        names = [n for n in checkpoint.tensors if n.startswith(prefix) and n in chosen]
        stored = checkpoint.read(names)
        checkpoint.check_unchanged()
    return {name[len(prefix) :]: tensor for name, tensor in stored.items()}


def _read_safetensors(
    file: Path, prefix: str, choose: Callable[[Sequence[str]], Collection[str]]
) -> dict[str, StoredTensor]:
    with FileBytes(file, "a weights file") as content:
        header = read_header(content, str(file))
        chosen = choose(list(header.tensors))
        tensors = {
            name[len(prefix) :]: _tensor(content, info)
            for name, info in header.tensors.items()
            if name.startswith(prefix) and name in chosen
        }
        content.check_unchanged()
    return tensors


def _tensor(content: FileBytes, info: TensorInfo) -> StoredTensor:
    if info.dtype not in _NUMPY:
        raise ModelFileError(
            f"{content.path}: tensor {quoted(info.name)} is {info.dtype}, which cannot be read"
        )
    stored = np.empty(info.nbytes, np.uint8)
    if info.nbytes:
        content.read_into(stored, info.offset)
    return StoredTensor(info.dtype, stored.view(_NUMPY[info.dtype]).reshape(info.shape))


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:MAX_NAMED])
    return listed if len(names) <= MAX_NAMED else f"{listed}, ..."
