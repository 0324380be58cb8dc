"""The text encoder's network: the upper left corner of a CLIP-L text model whose rest is zero.

CLIP-L is 768 wide and 12 layers deep. Here WIDTH of its dimensions are in use, HEADS of its heads
(of them HEAD_DIM of 64 dimensions each), MLP_WIDTH of 3072 hidden units and LAYERS + 1 layers. All
other weights are zero, so those dimensions stay zero and those layers change nothing. LayerNorm
still divides by 768 and attention by the root of 64: so does this network, and it computes
exactly what the full model does.

The last layer is not trained. Its hidden units turn each of the trained logits into a step from 0
to 1, high enough to drown all else in the residual; the final LayerNorm makes of that the codes
that Flux knows. So any wording that is understood gives the very same vector.

Source: openai/CLIP, model.py; stable-diffusion.cpp, src/clip.hpp.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from .clip_tokens import POSITIONS
from .prompt_code import CODE_DIM, POOLED_DIM, SCALE

__all__ = ["HEADS", "HEAD_DIM", "LAYERS", "MLP_WIDTH", "SHARPNESS", "WIDTH", "TextNetwork"]

WIDTH = 64
HEADS = 4
HEAD_DIM = 16
MLP_WIDTH = 128
LAYERS = 3
FULL_HEAD_DIM = 64
ONES = 4
"""Attributes, each with one code at 1."""

SHARPNESS = 12.0
"""Hidden units see the logits times this. They are trained to be 1 to 1.6 or below -1."""
STEP = 8.0
"""From 0 to 1 takes logits from -STEP/2 to STEP/2 over SHARPNESS, and a little round it."""
LOUDNESS = 8000.0
"""What a code of 1 adds to the residual, in which all else is about 1."""
WAVES = 16
_FREQUENCIES = math.pi / 1.5 ** torch.arange(1, WAVES + 1)
"""Of positions, radians a token."""
FOCUS = 1.2
"""How narrow heads look at first."""


class TextNetwork(nn.Module):
    """From numbers of live words to logits or to the pooled vector.

    Args:
        n_words: Live words, without the one that stands for all unknown words.
    """

    def __init__(self, n_words: int) -> None:
        super().__init__()
        self.words = nn.Parameter(0.3 * torch.randn(n_words, WIDTH))
        self.words.data[:, -2 * WAVES :] = 0
        self.position_map = nn.Parameter(0.3 * torch.eye(2 * WAVES, WIDTH).flip(0, 1))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = CornerNorm()
        self.logits = nn.Linear(WIDTH, CODE_DIM)
        for block in self.blocks[:-1]:
            assert isinstance(block, Block)
            block.look_back()

    def positions(self) -> torch.Tensor:
        """(77, WIDTH): smooth in the position, so that seldom seen late ones work as well."""
        angle = torch.arange(POSITIONS)[:, None] * _FREQUENCIES
        return torch.cat((angle.sin(), angle.cos()), 1) @ self.position_map

    def forward(self, words: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Logits.

        Args:
            words: (n, length) from 0 to n_words; 0 is an unknown word.
            ends: (n,) where the end token is.

        Returns:
            (n, CODE_DIM), above 0 for what the prompt says.
        """
        return self.logits(self.norm(self.residual(words, ends)))

    def residual(self, words: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """(n, WIDTH) at the end token, after the trained layers."""
        table = torch.cat((torch.zeros_like(self.words[:1]), self.words))
        x = F.embedding(words, table) + self.positions()[: words.shape[1]]
        for block in self.blocks[:-1]:
            x = block(x)
        return self.blocks[-1](x, ends)[:, 0]

    @torch.no_grad()
    def pooled(self, words: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """What the whole CLIP-L gives to Flux, (n, 768); arguments as for `forward`."""
        x = self.residual(words, ends)
        last = self.last_layer()
        x = (
            x
            + quick_gelu(self.norm(x) @ last["fc1.weight"].T + last["fc1.bias"])
            @ last["fc2.weight"].T
        )
        x = normed(x) * last["final.weight"] + last["final.bias"]
        return F.pad(x, (0, POOLED_DIM - WIDTH))

    @torch.no_grad()
    def last_layer(self) -> dict[str, torch.Tensor]:
        """The weights that turn logits into codes: fc1, fc2, and the final LayerNorm's."""
        weight, bias = SHARPNESS * self.logits.weight, SHARPNESS * self.logits.bias
        step = torch.cat((torch.eye(CODE_DIM), -torch.eye(CODE_DIM)), 1) * LOUDNESS / STEP
        mean = ONES / POOLED_DIM
        deviation = math.sqrt(mean - mean**2)
        live = (torch.arange(WIDTH) < CODE_DIM).float()
        return {
            "fc1.weight": torch.cat((weight, weight)),
            "fc1.bias": torch.cat((bias + STEP / 2, bias - STEP / 2)),
            "fc2.weight": F.pad(step, (0, 0, 0, WIDTH - CODE_DIM)),
            "final.weight": SCALE * deviation * live,
            "final.bias": SCALE * mean * live,
        }


class Block(nn.Module):
    """One layer; heads look back only."""

    def __init__(self) -> None:
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.norm1, self.norm2 = CornerNorm(), CornerNorm()
        self.q, self.k, self.v = (nn.Linear(WIDTH, inner) for _ in range(3))
        self.out = nn.Linear(inner, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, MLP_WIDTH), nn.Linear(MLP_WIDTH, WIDTH)

    @torch.no_grad()
    def look_back(self) -> None:
        """Begin with heads that look one, two, three ... tokens back: most words' partners are
        there, and to find that out takes training long."""
        n = HEAD_DIM // 2
        turn = _FREQUENCIES[:n]
        waves = torch.eye(2 * WAVES, WIDTH).flip(0, 1)
        sines, cosines = waves[:n], waves[WAVES : WAVES + n]
        for head in range(HEADS):
            back = turn * (head + 1)
            rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
            turned = (
                sines * back.cos()[:, None] - cosines * back.sin()[:, None],
                cosines * back.cos()[:, None] + sines * back.sin()[:, None],
            )
            self.q.weight[rows] = FOCUS * torch.cat(turned)
            self.k.weight[rows] = FOCUS * torch.cat((sines, cosines))

    def forward(self, x: torch.Tensor, ends: torch.Tensor | None = None) -> torch.Tensor:
        """(n, length, WIDTH), or (n, 1, WIDTH) of the tokens at `ends` alone."""
        h = self.norm1(x)
        k, v = heads(self.k(h)), heads(self.v(h))
        places = torch.arange(x.shape[1])
        if ends is None:
            mask = places <= places[:, None]
        else:
            mask = (places <= ends[:, None])[:, None, None]
            pick = ends[:, None, None].expand(-1, 1, WIDTH)
            x, h = x.gather(1, pick), h.gather(1, pick)
        mixed = F.scaled_dot_product_attention(
            heads(self.q(h)), k, v, mask, scale=1 / math.sqrt(FULL_HEAD_DIM)
        )
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.fc2(quick_gelu(self.fc1(self.norm2(x))))


class CornerNorm(nn.Module):
    """LayerNorm of 768 numbers of which all but WIDTH are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((WIDTH,), 0.5))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return normed(x) * self.weight + self.bias


def normed(x: torch.Tensor) -> torch.Tensor:
    """The live part of x, normalised as if POOLED_DIM - WIDTH zeros followed."""
    mean = x.sum(-1, keepdim=True) / POOLED_DIM
    variance = x.square().sum(-1, keepdim=True) / POOLED_DIM - mean.square()
    return (x - mean) * (variance + 1e-5).rsqrt()


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def heads(x: torch.Tensor) -> torch.Tensor:
    """(n, length, HEADS * HEAD_DIM) -> (n, HEADS, length, HEAD_DIM)."""
    return x.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)
