"""The EVA02-CLIP vision tower: an aligned face picture to a CLIP embedding and five depths of it.

Architecture: EVA-02 (Fang et al. 2023, arXiv 2303.11331) as in EVA-CLIP's model configuration
`EVA02-CLIP-L-14-336`: pre-norm blocks, 2-D rotary positions on queries and keys, SwiGLU with a
LayerNorm inside (sub-LN), a LayerNorm inside the attention, no bias on keys, LayerNorm eps 1e-6.
Every size is read from the weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from pulid_sdcpp.errors import ModelFileError

from .checkpoint import fill, place, read_checkpoint, shape_of, without_prefix
from .layers import Conv2d, LayerNorm, Linear, attention

__all__ = ["CLIP_MEAN", "CLIP_STD", "N_SCALES", "EvaShape", "EvaVision", "load_eva"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of R, G, B in 0..1 that CLIP's pictures are normalised with (OpenAI CLIP preprocessing)."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation that goes with CLIP_MEAN."""

N_SCALES = 5
"""Depths handed to the IDFormer: the inputs of blocks depth*k/6, k = 1..5 (4, 8, ..., 20 of 24)."""

ROPE_THETA = 10_000.0
"""Base of the rotary frequencies (EVA-CLIP rope.py, `freqs_for="lang"`)."""
ROPE_PRETRAIN_GRID = 16
"""Positions are scaled to the grid of the pretraining, 224 / 14 (`pt_hw_seq_len`, `intp_freq`)."""
HEAD_DIM = 64
"""Width of a head (`head_width`), where the file has no rotary table to read it from."""
NORM_EPS = 1e-6

WHAT = "EVA02-CLIP vision tower"

_TO_TIMM = (
    ("attn.q_bias", "attn.q_proj.bias"),
    ("attn.v_bias", "attn.v_proj.bias"),
    ("attn.inner_attn_ln.", "attn.norm."),
    ("mlp.w1.", "mlp.fc1_g."),
    ("mlp.w2.", "mlp.fc1_x."),
    ("mlp.w3.", "mlp.fc2."),
    ("mlp.ffn_ln.", "mlp.norm."),
)


@dataclass(frozen=True)
class EvaShape:
    """Sizes of a vision tower.

    Args:
        width: Channels of a token (1024).
        depth: Blocks (24).
        head_dim: Channels of a head (64).
        mlp_dim: Inner channels of the SwiGLU (2730).
        patch_px: Side of a patch (14).
        grid: Patches along a side (24).
        embedding_dim: Width of the CLIP embedding (768).
    """

    width: int
    depth: int
    head_dim: int
    mlp_dim: int
    patch_px: int
    grid: int
    embedding_dim: int

    @property
    def image_px(self) -> int:
        """Side of the square picture the tower takes (336)."""
        return self.grid * self.patch_px

    @property
    def heads(self) -> int:
        return self.width // self.head_dim

    @property
    def hidden_blocks(self) -> tuple[int, ...]:
        """The blocks whose inputs are returned (4, 8, 12, 16, 20)."""
        return tuple(self.depth * (k + 1) // (N_SCALES + 1) for k in range(N_SCALES))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj = Linear(width, width)
        self.norm = LayerNorm(width, eps=NORM_EPS)
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
        self.norm = LayerNorm(inner, eps=NORM_EPS)
        self.fc2 = Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.norm(F.silu(self.fc1_g(x)) * self.fc1_x(x)))


class _Block(nn.Module):
    def __init__(self, shape: EvaShape) -> None:
        super().__init__()
        self.norm1 = LayerNorm(shape.width, eps=NORM_EPS)
        self.attn = _Attention(shape.width, shape.heads)
        self.norm2 = LayerNorm(shape.width, eps=NORM_EPS)
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
        self.norm = LayerNorm(shape.width, eps=NORM_EPS)
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
    """Cosine and sine of the angle by which each pair of channels of a token turns.

    With f_i = theta ** (-4 i / head_dim) for i < head_dim / 4, and the patch at row r and
    column c: the first half of the pairs turns by r' f_i, the second by c' f_i, where
    r' = r * 16 / grid. The CLS token does not turn.

    Returns:
        Two (1 + grid**2, head_dim / 2) float32.

    Source: EVA-CLIP rope.py `VisionRotaryEmbeddingFast`.
    """
    quarter = head_dim // 4
    frequencies = ROPE_THETA ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
    positions = torch.arange(grid, dtype=torch.float32) * (ROPE_PRETRAIN_GRID / grid)
    angles = torch.outer(positions, frequencies)
    rows = angles[:, None].expand(grid, grid, quarter)
    columns = angles[None].expand(grid, grid, quarter)
    patches = torch.cat([rows, columns], dim=-1).flatten(0, 1)
    angle = torch.cat([torch.zeros(1, 2 * quarter), patches]).to(device)
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
    file = Path(path)
    tensors = _as_timm(read_checkpoint(file))
    shape = _shape_of(tensors, file)
    with torch.device("meta"):
        network = EvaVision(shape)
    fill(network, tensors, file, WHAT)
    place(network, device, dtype)
    return network


def _as_timm(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Either layout, with whatever prefix, under timm's names; the text tower is left out."""
    for prefix in ("visual.trunk.", "visual.", "trunk.", ""):
        if f"{prefix}patch_embed.proj.weight" in tensors:
            tensors = without_prefix(tensors, prefix)
            break
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in _TO_TIMM:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def _shape_of(tensors: Mapping[str, torch.Tensor], file: Path) -> EvaShape:
    dims = partial(shape_of, tensors, file, WHAT)
    width, _, patch_px, _ = dims("patch_embed.proj.weight", 4)
    tokens = dims("pos_embed", 3)[1]
    grid = round(max(tokens - 1, 0) ** 0.5)
    depth = 0
    while f"blocks.{depth}.norm1.weight" in tensors:
        depth += 1
    rope = tensors.get("rope.freqs_cos")
    shape = EvaShape(
        width=width,
        depth=depth,
        head_dim=HEAD_DIM if rope is None else rope.shape[-1],
        mlp_dim=dims("blocks.0.mlp.fc1_g.weight", 2)[0],
        patch_px=patch_px,
        grid=grid,
        embedding_dim=dims("head.weight", 2)[0],
    )
    if grid < 1 or grid**2 + 1 != tokens:
        raise ModelFileError(
            f"{file}: expected the {WHAT}, whose positions are a square of patches and a CLS "
            f"token; found {tokens}"
        )
    if depth <= N_SCALES:
        raise ModelFileError(
            f"{file}: expected the {WHAT} with more than {N_SCALES} blocks, found {depth}"
        )
    if shape.head_dim < 4 or shape.head_dim % 4 or width % shape.head_dim:
        raise ModelFileError(
            f"{file}: expected the {WHAT} with a width that is a multiple of its head width, "
            f"found {width} and {shape.head_dim}"
        )
    return shape
