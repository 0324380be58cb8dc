"""Tensors of a weights file as PyTorch's, and into a network of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .weights import check_tensors

__all__ = ["as_torch", "fill", "place"]

_BITS = {"bf16": torch.bfloat16, "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2}
"""Types that NumPy has not."""


def as_torch(tensor: StoredTensor) -> torch.Tensor:
    """The same numbers, not copied."""
    if tensor.dtype in _BITS:
        # PyTorch takes no unsigned numbers of two bytes before 2.3.
        bits = torch.from_numpy(tensor.values.view("i2" if tensor.dtype == "bf16" else "u1"))
        return bits.view(_BITS[tensor.dtype])
    return torch.from_numpy(tensor.values)


def fill(network: nn.Module, tensors: Mapping[str, StoredTensor], path: Path, what: str) -> None:
    """Give a network built on the meta device its weights, without copying them.

    Args:
        network: Built under `torch.device("meta")`; every parameter and buffer is replaced.
        tensors: Named as in the network. Names that the network does not have are ignored.
        path: The file they come from, for errors.
        what: What the file should hold, for errors, such as "EVA02-CLIP vision tower".

    Raises:
        ModelFileError: See `check_tensors`.
    """
    wanted = {
        name: (tuple(tensor.shape), tensor.is_floating_point())
        for name, tensor in network.state_dict().items()
    }
    check_tensors(wanted, tensors, path, what)
    network.load_state_dict({name: as_torch(tensors[name]) for name in wanted}, assign=True)
    network.requires_grad_(False)
    network.eval()


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
