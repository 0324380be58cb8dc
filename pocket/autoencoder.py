"""The tiny autoencoder: pictures of latents, in TAEF1's layout.

The encoder is the patch PCA (`patches`), written into TAEF1's convolutions exactly. The decoder is
trained; of TAEF1's 64 channels only some are used, the rest stay zero.

Source of the layout: madebyollin/taesd; stable-diffusion.cpp, src/tae.hpp.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .loop import load_averaged, train
from .patches import LATENTS, PATCH_PX, PatchPca
from .resuming import seed_training

__all__ = ["Decoder", "load_decoder", "tae_tensors", "train_decoder"]

CHANNELS = 64
"""Of the layout."""
WIDTH = 48
"""Of them used."""
COLORS = 3
CROP = 9
"""Side of a training picture in latents: 72 pixels of 128 cost a third."""
ENCODER_BLOCKS = (1, 3, 4, 5, 7, 8, 9, 11, 12, 13)
BATCH = 12
LATENT_NOISE = 0.08
"""Deviation, at most, of noise on the latents: Flux does not hit them exactly."""


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * torch.tanh(x / 3)


class Decoder(nn.Module):
    """(n, 16, h, w) latents -> (n, 3, 8 h, 8 w) in 0..1, about."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()

        def up() -> list[nn.Module]:
            return [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]

        def blocks(count: int) -> list[nn.Module]:
            return [Block(width) for _ in range(count)]

        self.layers = nn.Sequential(
            *(Clamp(), nn.Conv2d(LATENTS, width, 3, padding=1), nn.ReLU()),
            *(*blocks(3), *up(), *blocks(3), *up(), *blocks(3), *up(), *blocks(1)),
            nn.Conv2d(width, 3, 3, padding=1),
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):
                module.get_parameter("conv.4.weight").data.zero_()
        for module in self.layers:
            if isinstance(module, nn.Conv2d) and module.bias is None:
                module.weight.data.mul_(0.7)
        last = self.layers[-1]
        last.get_parameter("weight").data.mul_(0.05)
        last.get_parameter("bias").data.fill_(0.5)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.layers(latents)


def train_decoder(
    folder: Path,
    budget_s: float,
    pca: PatchPca,
    pictures: np.ndarray,
    held: np.ndarray,
    *,
    rate: float = 1.5e-3,
    device: str = "cpu",
) -> Decoder:
    """Train it until the budget is spent; see `loop.train`.

    Args:
        pictures, held: (n, side, side, 3) uint8, to learn from and to measure with.
    """
    seed_training(folder, "decoder", 3)
    decoder = Decoder().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = pictures.shape[1] // PATCH_PX - CROP + 1

    def loss() -> torch.Tensor:
        crops = []
        for index in torch.randint(len(pictures), (BATCH,)).tolist():
            top, left = (torch.randint(side, (2,)) * PATCH_PX).tolist()
            size = CROP * PATCH_PX
            crops.append(pictures[index, top : top + size, left : left + size])
        wanted = torch.from_numpy(np.stack(crops)).float() / 255
        latents = pca.encode(wanted)
        latents = latents + LATENT_NOISE * torch.rand(BATCH, 1, 1, 1) * torch.randn_like(latents)
        made = decode(decoder, latents.to(device))
        return picture_error(made, wanted.permute(0, 3, 1, 2).to(device))

    def measure() -> dict[str, float]:
        with torch.no_grad():
            wanted = torch.from_numpy(held[:48]).float() / 255
            made = decode(decoder, pca.encode(wanted).to(device)).clamp(0, 1).cpu()
        error = (made - wanted.permute(0, 3, 1, 2)).square().mean((1, 2, 3))
        return {"psnr_db": float((-10 * error.log10()).mean())}

    train(
        "decoder",
        folder,
        budget_s,
        {"decoder": decoder},
        loss,
        rate=rate,
        weight_decay=0.0,
        momenta=(0.9, 0.99),
        ema=0.995,
        clip=2.0,
        measure=measure,
    )
    return decoder


def picture_error(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of pixels and of their differences to the neighbours, which keeps edges sharp."""
    error = made - wanted
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 0.5 * (across + down) + 2 * error.square().mean()


def decode(decoder: Decoder, latents: torch.Tensor) -> torch.Tensor:
    """In bfloat16 where that is fast; float32 pictures."""
    with torch.autocast(latents.device.type, torch.bfloat16):
        return decoder(latents.contiguous(memory_format=torch.channels_last)).float()


def load_decoder(folder: Path) -> Decoder:
    """The averaged weights of a training."""
    decoder = Decoder()
    load_averaged(folder, "decoder", {"decoder": decoder})
    return decoder.eval()


def tae_tensors(pca: PatchPca, decoder: Decoder) -> dict[str, np.ndarray]:
    """The tensors of a TAEF1 file, float32: the PCA as encoder, the decoder padded with zeros."""
    tensors = _encoder_tensors(pca)
    for name, value in decoder.state_dict().items():
        array = value.float().numpy()
        rows = COLORS if name.startswith("layers.19.") else CHANNELS
        columns = LATENTS if name == "layers.1.weight" else CHANNELS
        padding = [(0, rows - len(array))]
        if array.ndim == 4:
            padding += [(0, columns - array.shape[1]), (0, 0), (0, 0)]
        # Published files count layers without the clamp in front.
        index, rest = name.removeprefix("layers.").split(".", 1)
        tensors[f"decoder.layers.{int(index) - 1}.{rest}"] = np.pad(array, padding)
    return tensors


def _encoder_tensors(pca: PatchPca) -> dict[str, np.ndarray]:
    """Three halvings that only move pixels to channels, the last of them times the PCA's matrix.

    A ReLU follows every block; pixels are positive anyway, and each latent is kept twice, as it is
    and negated, until the last convolution takes the difference.
    """
    tensors: dict[str, np.ndarray] = {}

    def conv(index: int, rows: int, columns: int, *, bias: bool) -> np.ndarray:
        weight = np.zeros((rows, columns, 3, 3), np.float32)
        tensors[f"encoder.layers.{index}.weight"] = weight
        if bias:
            tensors[f"encoder.layers.{index}.bias"] = np.zeros(rows, np.float32)
        return weight

    copy = conv(0, CHANNELS, COLORS, bias=True)
    for color in range(COLORS):
        copy[color, color, 1, 1] = 1
    for index, channels in ((2, COLORS), (6, 4 * COLORS)):
        halve = conv(index, CHANNELS, CHANNELS, bias=False)
        for place in range(4):
            for channel in range(channels):
                # Stride 2, padding 1: the taps 1 and 2 are pixels 2i and 2i + 1.
                tap = (1 + place // 2, 1 + place % 2)
                halve[place * channels + channel, channel][tap] = 1
    last = conv(10, CHANNELS, CHANNELS, bias=False)
    for place in range(4):
        for channel in range(16 * COLORS):
            middle, rest = divmod(channel, 4 * COLORS)
            first, color = divmod(rest, COLORS)
            row = 4 * (place // 2) + 2 * (middle // 2) + first // 2
            column = 4 * (place % 2) + 2 * (middle % 2) + first % 2
            weights = pca.matrix[(row * PATCH_PX + column) * COLORS + color]
            tap = (1 + place // 2, 1 + place % 2)
            last[:LATENTS, channel][:, tap[0], tap[1]] = weights
            last[LATENTS : 2 * LATENTS, channel][:, tap[0], tap[1]] = -weights
    difference = conv(14, LATENTS, CHANNELS, bias=True)
    for latent in range(LATENTS):
        difference[latent, latent, 1, 1] = 1
        difference[latent, LATENTS + latent, 1, 1] = -1
    tensors["encoder.layers.14.bias"][:] = -pca.mean @ pca.matrix
    for index in ENCODER_BLOCKS:
        for part in (0, 2, 4):
            name = f"encoder.layers.{index}.conv.{part}"
            tensors[f"{name}.weight"] = np.zeros((CHANNELS, CHANNELS, 3, 3), np.float32)
            tensors[f"{name}.bias"] = np.zeros(CHANNELS, np.float32)
    return tensors
