"""PuLID v1 for SDXL was published as a torch checkpoint: the engine's converter needs another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ModelFileError, OutputFileError
from ..extraction.torch_tensors import checkpoint_tensors
from ..system.file_signature import SIGNATURE_BYTES, signature
from ..tensors.file_bytes import FileBytes
from ..tensors.file_kinds import classify, zip_kind
from ..tensors.safetensors_writer import write_safetensors
from ..tensors.tensor_encoding import stored_bytes
from ..tensors.tensor_header import TensorHeader, TensorInfo
from ..tensors.tensor_spec import TensorSpec
from ..terminal_text import reason_of

__all__ = ["readable_weights"]

MAX_CHECKPOINT_BYTES = 4 << 30
"""It is read into memory; PuLID v1 has 1.6 GB."""
_GB = 1e9


@contextmanager
def readable_weights(source: str | os.PathLike[str], target: Path) -> Iterator[str]:
    """A file that the engine's converter can read: `source`, or what a torch checkpoint has in it.

    Args:
        source: The file to convert.
        target: Beside it a copy is written where there must be one; it goes when the block ends.

    Raises:
        ModelFileError: A torch checkpoint that is damaged, or of another model than PuLID for SDXL.
        OutputFileError: There is no room for the copy, or it cannot be written.
        MissingDependencyError: A torch checkpoint, and the extra [extract] is not installed.
    """
    path = os.fspath(source)
    if not _is_checkpoint(path):
        yield path
        return
    specs = checkpoint_tensors(path)
    _check_kind(path, specs)
    needed = sum(map(stored_bytes, specs))
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise OutputFileError(
            f"cannot write {target}: a copy of {path} as safetensors needs {needed / _GB:.1f} GB "
            f"meanwhile, the disk has {free / _GB:.1f} GB free"
        )
    with _folder_beside(target) as folder:
        copy = folder / f"{Path(path).stem}.safetensors"
        write_safetensors(copy, specs)
        specs.clear()  # 1.6 GB of memory
        yield os.fspath(copy)


def _is_checkpoint(path: str) -> bool:
    with FileBytes(path) as content:
        size, head = len(content), content[:SIGNATURE_BYTES]
    is_zip = head.startswith(b"PK")
    if is_zip and zip_kind(path).kind != "torch-checkpoint":
        return False
    if not is_zip and not signature(head).startswith("a pickle"):
        return False
    if size > MAX_CHECKPOINT_BYTES:
        raise ModelFileError(
            f"{path}: expected PuLID weights for SDXL, found a torch checkpoint of "
            f"{size / _GB:.1f} GB; convert the safetensors file of that model"
        )
    return True


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
