"""Tensors out of a published weights file, and into a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.system.file_signature import SIGNATURE_BYTES, signature
from pulid_sdcpp.system.regular_file import NotRegularError, open_regular
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.file_header import read_header
from pulid_sdcpp.tensors.hollow_file import PAGE_BYTES
from pulid_sdcpp.tensors.tensor_header import TensorInfo
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor, TorchCheckpoint
from pulid_sdcpp.terminal_text import quoted, reason_of

__all__ = ["fill", "place", "read_checkpoint", "shape_of", "without_prefix"]

MAX_NAMED = 3
"""How many tensor names an error lists before it only counts the rest."""

_DTYPES = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f8_e4m3": torch.float8_e4m3fn,
    "f8_e5m2": torch.float8_e5m2,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u8": torch.uint8,
    "bool": torch.bool,
}
_BITS = {"bf16": "i2", "f8_e4m3": "u1", "f8_e5m2": "u1"}
"""Whole numbers that PyTorch takes from NumPy in the place of types that NumPy has not."""


def read_checkpoint(
    path: str | os.PathLike[str],
    prefix: str = "",
    *,
    choose: Callable[[Sequence[str]], Collection[str]] = lambda names: names,
) -> dict[str, torch.Tensor]:
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


def without_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose name starts with `prefix`, named without it."""
    return {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }


def shape_of(
    tensors: Mapping[str, torch.Tensor],
    path: Path,
    what: str,
    name: str,
    rank: int,
    *,
    prefix: str = "",
) -> torch.Size:
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
    if tensor is None or tensor.ndim != rank:
        found = "is missing" if tensor is None else f"has shape {list(tensor.shape)}"
        raise ModelFileError(f"{path}: expected the {what}, its tensor {prefix}{name} {found}")
    return tensor.shape


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, what: str) -> None:
    """Give a network built on the meta device its weights, without copying them.

    Args:
        network: Built under `torch.device("meta")`; every parameter and buffer is replaced.
        tensors: Named as in the network. Names that the network does not have are ignored.
        path: The file they come from, for errors.
        what: What the file should hold, for errors, such as "EVA02-CLIP vision tower".

    Raises:
        ModelFileError: A tensor is missing, has another shape or an integer type, or is a
            matrix of zeros.
    """
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise ModelFileError(
            f"{path}: expected the {what}, {len(missing)} of its {len(wanted)} tensors are "
            f"missing: {_some(missing)}"
        )
    for name, place_holder in wanted.items():
        found = tensors[name]
        if found.shape != place_holder.shape:
            raise ModelFileError(
                f"{path}: tensor {name} of the {what}: expected shape "
                f"{list(place_holder.shape)}, found {list(found.shape)}"
            )
        if place_holder.is_floating_point() != found.is_floating_point():
            raise ModelFileError(
                f"{path}: tensor {name} of the {what}: expected {place_holder.dtype}, "
                f"found {found.dtype}"
            )
    _check_not_zeros({name: tensors[name] for name in wanted}, path, what)
    network.load_state_dict({name: tensors[name] for name in wanted}, assign=True)
    network.requires_grad_(False)
    network.eval()


def _check_not_zeros(tensors: Mapping[str, torch.Tensor], path: Path, what: str) -> None:
    """Refuse matrices of zeros: of a download that was not finished, or a damaged disk."""
    matrices = {
        name: tensor
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
        and sum(size > 1 for size in tensor.shape) >= 2
        and tensor.numel() * tensor.element_size() >= PAGE_BYTES
    }
    zeros = [name for name, tensor in matrices.items() if _is_zeros(tensor)]
    if zeros:
        raise ModelFileError(
            f"{path}: {len(zeros)} of the {len(matrices)} matrices of the {what} are zeros: "
            f"{_some(zeros)}; a download that was not finished, or a damaged disk: get it again"
        )


def _is_zeros(tensor: torch.Tensor) -> bool:
    flat = tensor.flatten()
    middle = flat[len(flat) // 2 :][:1024]
    return not bool(middle.float().any()) and not bool(flat.float().any())


def place(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Put a network's weights where and as they are computed with.

    On the CPU, weights stored in a narrower type than the computation (fp16 weights, fp32
    computation) stay as they are, and each layer widens its own when it runs (see `layers`): the
    same numbers for half the memory, at the price of 5 % more time per photo.
    """
    narrow = max(parameter.element_size() for parameter in network.parameters())
    if device.type == "cpu" and narrow < torch.empty((), dtype=dtype).element_size():
        return
    network.to(device=device, dtype=dtype)


def _read_torch(
    file: Path, prefix: str, choose: Callable[[Sequence[str]], Collection[str]]
) -> dict[str, torch.Tensor]:
    with TorchCheckpoint(file) as checkpoint:
        chosen = choose(list(checkpoint.tensors))
        names = [n for n in checkpoint.tensors if n.startswith(prefix) and n in chosen]
        stored = checkpoint.read(names)
        checkpoint.check_unchanged()
    return {name[len(prefix) :]: _of_stored(tensor) for name, tensor in stored.items()}


def _of_stored(tensor: StoredTensor) -> torch.Tensor:
    """The same numbers, not copied."""
    if tensor.dtype in _BITS:
        bits = torch.from_numpy(tensor.values.view(_BITS[tensor.dtype]))
        return bits.view(_DTYPES[tensor.dtype])
    return torch.from_numpy(tensor.values)


def _read_safetensors(
    file: Path, prefix: str, choose: Callable[[Sequence[str]], Collection[str]]
) -> dict[str, torch.Tensor]:
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


def _tensor(content: FileBytes, info: TensorInfo) -> torch.Tensor:
    if info.dtype not in _DTYPES:
        raise ModelFileError(
            f"{content.path}: tensor {quoted(info.name)} is {info.dtype}, which cannot be read"
        )
    if not info.nbytes:
        return torch.empty(info.shape, dtype=_DTYPES[info.dtype])
    stored = bytearray(info.nbytes)
    content.read_into(stored, info.offset)
    return torch.frombuffer(stored, dtype=_DTYPES[info.dtype]).reshape(info.shape)


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:MAX_NAMED])
    return listed if len(names) <= MAX_NAMED else f"{listed}, ..."
