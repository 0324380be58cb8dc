"""The first layers of a tiny decoder for SDXL's 4 latents; the others are the pocket Flux's.

SDXL's latents are the first four of Flux's sixteen. What the sixteen become before the picture is
enlarged can be told of four and of what is around them: that is all that is trained, at an eighth
of the picture's side, with the features of Flux's decoder as the aim.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from pulid_sdcpp.tensors.tensor_file import TensorFile

from .autoencoder import WIDTH, Block, Clamp
from .loop import load_averaged, train
from .patches import LATENTS as FLUX_LATENTS
from .resuming import seed_training
from .sdxl_unet import LATENTS

__all__ = ["FirstLayers", "flux_layers", "load_first_layers", "train_first_layers"]

BATCH = 24
LATENT_NOISE = 0.1
"""Deviation, at most, of noise on the latents: the UNet does not hit them exactly."""
BLOCKS = (2, 3, 4)
"""Their numbers in the file."""


class FirstLayers(nn.Module):
    """(n, latents, h, w) -> (n, 48, h, w)."""

    def __init__(self, latents: int = LATENTS) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Clamp(), nn.Conv2d(latents, WIDTH, 3, padding=1), nn.ReLU()),
            *(Block(WIDTH) for _ in BLOCKS),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(latents)
        return features

    def named_as_in_the_file(self) -> dict[str, torch.Tensor]:
        """Published files count layers without the clamp in front."""
        tensors = {}
        for name, value in self.state_dict().items():
            number, rest = name.removeprefix("layers.").split(".", 1)
            tensors[f"decoder.layers.{int(number) - 1}.{rest}"] = value
        return tensors


def flux_layers(taef1: Path) -> FirstLayers:
    """Those of the pocket Flux's decoder, of 16 latents."""
    network = FirstLayers(FLUX_LATENTS)
    with TensorFile(taef1) as file:
        state = {}
        for name, mine in zip(network.named_as_in_the_file(), network.state_dict(), strict=True):
            shape = network.state_dict()[mine].shape
            corner = torch.from_numpy(file.read(name))[tuple(slice(n) for n in shape)]
            state[mine] = corner.contiguous()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def train_first_layers(folder: Path, budget_s: float, taef1: Path, latents: torch.Tensor) -> None:
    """Train them; see `loop.train`.

    Args:
        latents: (n, 16, h, w) float16, the pocket Flux's.
    """
    seed_training(folder, "sdxl_decoder", 5)
    teacher, network = flux_layers(taef1), FirstLayers()
    state = teacher.state_dict()
    state["layers.1.weight"] = state["layers.1.weight"][:, :LATENTS].clone()
    network.load_state_dict(state)

    def loss() -> torch.Tensor:
        whole = latents[torch.randint(len(latents), (BATCH,))].float()
        given = whole[:, :LATENTS]
        given = given + LATENT_NOISE * torch.rand(BATCH, 1, 1, 1) * torch.randn_like(given)
        with torch.autocast("cpu", torch.bfloat16):
            wanted, made = teacher(whole).float(), network(given).float()
        return F.mse_loss(made, wanted) / wanted.square().mean()

    train(
        "sdxl_decoder",
        folder,
        budget_s,
        {"decoder": network},
        loss,
        rate=2e-3,
        weight_decay=0.0,
        momenta=(0.9, 0.98),
        ema=0.99,
    )


def load_first_layers(folder: Path) -> FirstLayers:
    """The averaged weights of a training."""
    network = FirstLayers()
    load_averaged(folder, "sdxl_decoder", {"decoder": network})
    return network.eval()
