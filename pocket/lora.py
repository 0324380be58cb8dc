"""Low-rank additions to a Flux whose own weights stay as they are, and their file.

Source: Hu et al. 2021, arXiv 2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .flux import Flux

__all__ = ["Lora", "write_lora"]

ADAPTED = re.compile(r"double_blocks\.\d+\.img_attn\.qkv|single_blocks\.\d+\.linear1")
"""Who attends to whom; with fewer layers than usual, for the file must be small."""


class Lora(nn.Module):
    """The additions, up @ down @ x, to every adapted linear layer of a Flux; zero at first.

    Making one hooks it into the network, whose parameters are frozen.

    Args:
        flux: The network.
        rank: Rows of `down` and columns of `up`.

    Attributes:
        names: Of the adapted layers, in the order of `down` and `up`.
    """

    def __init__(self, flux: Flux, rank: int) -> None:
        super().__init__()
        flux.requires_grad_(False)
        layers = {n: m for n, m in flux.named_modules() if ADAPTED.fullmatch(n)}
        self.names = list(layers)
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for index, layer in enumerate(layers.values()):
            self.down.append(torch.randn(rank, layer.in_features) * layer.in_features**-0.5)
            self.up.append(torch.zeros(layer.out_features, rank))
            layer.register_forward_hook(self._adder(index))

    def _adder(self, index: int) -> Callable[..., torch.Tensor]:
        def add(layer: nn.Module, inputs: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
            return out + F.linear(F.linear(inputs[0], self.down[index]), self.up[index])

        return add


def write_lora(path: Path, lora: Lora, description: str) -> None:
    """A safetensors file in float16, with diffusers' endings on Flux's own names."""
    specs = []
    for name, down, up in zip(lora.names, lora.down, lora.up, strict=True):
        for part, matrix in (("lora_A", down), ("lora_B", up)):
            values = matrix.detach().float().cpu().numpy()
            full_name = f"diffusion_model.{name}.{part}.weight"
            specs.append(TensorSpec(full_name, values.shape, "f16", values.copy))
    write_safetensors(path, specs, {"description": description})
