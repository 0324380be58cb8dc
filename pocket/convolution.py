"""Pieces of the small convolutional networks: a convolution with its normalisation, a residual."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Residual", "UnitLength", "conv_block", "fold_batch_norms", "settle_batch_norms"]


class Residual(nn.Module):
    """Two convolutions and what went into them: relu(x + body(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_block(width, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


class UnitLength(nn.Module):
    """Vectors (n, d) of one length."""

    def __init__(self, length: float = 1.0) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(x.float(), dim=1) * self.length


def conv_block(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU; an even kernel is a patch of its stride, unpadded."""
    padding = kernel // 2 if kernel % 2 else 0
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


@torch.no_grad()
def settle_batch_norms(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Measure means and variances anew: averaged weights have none of their own."""
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for batch in batches:
        network(batch)
    network.eval()
    for norm in norms:
        norm.momentum = 0.1


@torch.no_grad()
def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Put every BatchNorm2d into the convolution before it, in place; for reading only.

    Args:
        network: Every BatchNorm2d follows a Conv2d in the same Sequential.

    Returns:
        The network, in evaluation mode, with identities where there were norms.
    """
    network.eval()
    for sequence in [part for part in network.modules() if isinstance(part, nn.Sequential)]:
        for index in range(1, len(sequence)):
            norm = sequence[index]
            if isinstance(norm, nn.BatchNorm2d):
                sequence[index - 1] = _folded(sequence[index - 1], norm)
                sequence[index] = nn.Identity()
    return network


def _folded(conv: nn.Module, norm: nn.BatchNorm2d) -> nn.Conv2d:
    if not isinstance(conv, nn.Conv2d):
        raise ValueError(f"expected a convolution before a norm, found {type(conv).__name__}")
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels,
        conv.kernel_size, conv.stride, conv.padding,  # type: ignore[arg-type]
    )  # fmt: skip
    assert folded.bias is not None
    before = conv.bias if conv.bias is not None else 0.0
    folded.weight.copy_(conv.weight * gain[:, None, None, None])
    folded.bias.copy_(norm.bias + (before - norm.running_mean) * gain)
    return folded
