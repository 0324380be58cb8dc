"""The EVA02-CLIP vision tower: an aligned face picture to a CLIP embedding and five depths of it.

Architecture: EVA-02 (Fang et al. 2023, arXiv 2303.11331) as in EVA-CLIP's model configuration
`EVA02-CLIP-L-14-336`: pre-norm blocks, 2-D rotary positions on queries and keys, SwiGLU with a
LayerNorm inside (sub-LN), a LayerNorm inside the attention, no bias on keys, LayerNorm eps 1e-6.
Every size is read from the weights.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .checkpoint import fill, place
from .eva_shape import EVA_NORM_EPS, WHAT_EVA, EvaShape, read_eva, rope_angles
from .layers import Conv2d, LayerNorm, Linear, attention

__all__ = ["EvaVision", "load_eva", "rope_table", "rotate"]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj = Linear(width, width)
        self.norm = LayerNorm(width, eps=EVA_NORM_EPS)
        self.proj = Linear(width, width)

    def forward(self, x: torch.Tensor, rope: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        query = rotate(self.q_proj(x), *rope)
        key = rotate(self.k_proj(x), *rope)
        return self.proj(self.norm(attention(query, key, self.v_proj(x), self.heads)))


class _SwiGlu(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1_g = Linear(width, inner)
        self.fc1_x = Linear(width, inner)
        self.norm = LayerNorm(inner, eps=EVA_NORM_EPS)
        self.fc2 = Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.norm(F.silu(self.fc1_g(x)) * self.fc1_x(x)))


class _Block(nn.Module):
    def __init__(self, shape: EvaShape) -> None:
        super().__init__()
        self.norm1 = LayerNorm(shape.width, eps=EVA_NORM_EPS)
        self.attn = _Attention(shape.width, shape.heads)
        self.norm2 = LayerNorm(shape.width, eps=EVA_NORM_EPS)
        self.mlp = _SwiGlu(shape.width, shape.mlp_dim)

    def forward(self, x: torch.Tensor, rope: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x = x + self.attn(self.norm1(x), rope)
        return x + self.mlp(self.norm2(x))


class EvaVision(nn.Module):
    """The vision tower. Parameters are named as in timm's `eva02_large_patch14_clip_336`."""

    def __init__(self, shape: EvaShape) -> None:
        super().__init__()
        self.shape = shape
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + shape.grid**2, shape.width))
        self.patch_embed = nn.ModuleDict(
            {"proj": Conv2d(3, shape.width, shape.patch_px, stride=shape.patch_px)}
        )
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.depth))
        self.norm = LayerNorm(shape.width, eps=EVA_NORM_EPS)
        self.head = Linear(shape.width, shape.embedding_dim)

    @torch.inference_mode()
    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Look at pictures.

        Args:
            pictures: (n, 3, image_px, image_px), normalised with CLIP_MEAN and CLIP_STD; its
                dtype is the dtype of the computation.

        Returns:
            The L2-normalised CLIP embeddings (n, embedding_dim), and five hidden states
            (n, 1 + grid**2, width), the CLS token first, not normalised.

        Source: EVA-CLIP `EVAVisionTransformer.forward_features` with PuLID's `return_hidden`.
        """
        dtype, side = pictures.dtype, self.shape.image_px
        if pictures.shape[1:] != (3, side, side):
            raise ValueError(
                f"pictures of shape {tuple(pictures.shape)}: expected (n, 3, {side}, {side})"
            )
        patches = self.patch_embed["proj"](pictures)
        cls_token = self.cls_token.to(dtype).expand(len(pictures), -1, -1)
        x = torch.cat([cls_token, patches.flatten(2).transpose(1, 2)], dim=1)
        x = x + self.pos_embed.to(dtype)
        rope = rope_table(self.shape.grid, self.shape.head_dim, device=x.device)
        hidden = []
        for index, block in enumerate(self.blocks):
            if index in self.shape.hidden_blocks:
                hidden.append(x)
            x = block(x, rope)
        embedding = self.head(self.norm(x)[:, 0])
        return embedding / embedding.norm(dim=1, keepdim=True), hidden


def rope_table(
    grid: int, head_dim: int, *, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of `rope_angles`, (1 + grid**2, head_dim / 2) float32 each."""
    angle = torch.from_numpy(rope_angles(grid, head_dim)).to(device)
    return angle.cos(), angle.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair of neighbouring channels (2i, 2i + 1) of every head.

    Args:
        x: (n, t, heads * head_dim).
        cos: (t, head_dim / 2) float32; the turn is computed in float32.
        sin: Like `cos`.
    """
    pairs = x.float().unflatten(-1, (-1, cos.shape[1], 2))
    even, odd = pairs.unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(2).to(x.dtype)


def load_eva(
    path: str | os.PathLike[str], *, device: torch.device, dtype: torch.dtype
) -> EvaVision:
    """Load the vision tower from EVA-CLIP's own checkpoint or from one in timm's layout.

    Args:
        path: `EVA02_CLIP_L_336_psz14_s6B.pt` (the full CLIP, keys `visual.*`), or a
            `.safetensors` or checkpoint of it, or of timm's or open_clip's model.
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        ModelFileError: Not such a file.
    """
    shape, tensors = read_eva(path)
    with torch.device("meta"):
        network = EvaVision(shape)
    fill(network, tensors, Path(path), WHAT_EVA)
    place(network, device, dtype)
    return network
