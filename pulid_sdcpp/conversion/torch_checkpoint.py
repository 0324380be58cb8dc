"""PuLID v1 for SDXL was published as a torch checkpoint: the engine's converter needs another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError, OutputFileError
from ..system.file_signature import SIGNATURE_BYTES, signature
from ..tensors.file_bytes import FileBytes
from ..tensors.file_kinds import classify, zip_kind
from ..tensors.safetensors_writer import write_safetensors
from ..tensors.tensor_encoding import stored_bytes
from ..tensors.tensor_header import TensorHeader, TensorInfo
from ..tensors.tensor_spec import TensorSpec
from ..tensors.torch_checkpoint import TorchCheckpoint
from ..terminal_text import quoted, reason_of

__all__ = ["readable_weights"]

_GB = 1e9
_DTYPES = ("f32", "f16", "bf16")


@contextmanager
def readable_weights(source: str | os.PathLike[str], target: Path) -> Iterator[str]:
    """A file that the engine's converter can read: `source`, or what a torch checkpoint has in it.

    Args:
        source: The file to convert.
        target: Beside it a copy is written where there must be one; it goes when the block ends.

    Raises:
        ModelFileError: A torch checkpoint that is damaged, or of another model than PuLID for SDXL.
        OutputFileError: There is no room for the copy, or it cannot be written.
    """
    path = os.fspath(source)
    if not _is_checkpoint(path):
        yield path
        return
    with TorchCheckpoint(path) as checkpoint:
        specs = [_spec(checkpoint, name) for name in checkpoint.tensors]
        _check_kind(path, specs)
        needed = sum(map(stored_bytes, specs))
        free = shutil.disk_usage(target.parent).free
        if needed > free:
            raise OutputFileError(
                f"cannot write {target}: a copy of {path} as safetensors needs "
                f"{needed / _GB:.1f} GB meanwhile, the disk has {free / _GB:.1f} GB free"
            )
        with _folder_beside(target) as folder:
            copy = folder / f"{Path(path).stem}.safetensors"
            write_safetensors(copy, specs)
            checkpoint.check_unchanged()
            yield os.fspath(copy)


def _spec(checkpoint: TorchCheckpoint, name: str) -> TensorSpec:
    tensor = checkpoint.tensors[name]
    if tensor.dtype not in _DTYPES or not tensor.shape:
        raise ModelFileError(
            f"{checkpoint.path}: expected matrices of floating point numbers, found "
            f"{quoted(name)} of type {tensor.dtype} and shape {tensor.shape}"
        )
    return TensorSpec(name, tensor.shape, tensor.dtype, partial(_bytes_of, checkpoint, name))


def _bytes_of(checkpoint: TorchCheckpoint, name: str) -> NDArray[np.uint8]:
    values = checkpoint.read([name])[name].values
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def _is_checkpoint(path: str) -> bool:
    with FileBytes(path) as content:
        head = content[:SIGNATURE_BYTES]
    if head.startswith(b"PK"):
        return zip_kind(path).kind == "torch-checkpoint"
    return signature(head).startswith("a pickle")


def _check_kind(path: str, specs: list[TensorSpec]) -> None:
    infos = {
        spec.name: TensorInfo(spec.name, spec.shape, spec.dtype, 0, stored_bytes(spec))
        for spec in specs
    }
    kind = classify(TensorHeader("torch", infos))
    if kind.kind != "pulid-sdxl":
        raise ModelFileError(
            f"{path}: of torch checkpoints only PuLID weights for SDXL are converted, found "
            f"{kind.words}; use the safetensors file"
        )


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    try:
        folder = tempfile.mkdtemp(prefix=".pulid-sdcpp-convert-", dir=target.parent)
    except OSError as error:
        raise OutputFileError(f"cannot write {target}: {reason_of(error)}") from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
