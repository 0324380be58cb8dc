"""Identity tokens straight from what a person is: what the IDFormer later learns to see in a photo.

Flux and its cross-attention are trained on these, so that their training does not wait for the
networks that look at photos and is not blurred by those networks' mistakes.
"""

from __future__ import annotations

import torch
from torch import nn

from .portraits.people import IDENTITY_DIM

__all__ = ["ID_DIM", "ID_TOKENS", "Teacher"]

ID_TOKENS = 8
ID_DIM = 256
HIDDEN = 512


class Teacher(nn.Module):
    """(n, IDENTITY_DIM) -> (n, 8, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(IDENTITY_DIM, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, ID_TOKENS * ID_DIM),
        )
        self.norm = nn.LayerNorm(ID_DIM, elementwise_affine=False)

    def forward(self, people: torch.Tensor) -> torch.Tensor:
        tokens = self.layers(people).float().unflatten(1, (ID_TOKENS, ID_DIM))
        return self.norm(tokens)
