"""The sizes of the EVA02-CLIP vision tower, its tensors' names, and the angles of its positions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .weights import read_weights, shape_of, without_prefix

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "EVA_NORM_EPS",
    "N_SCALES",
    "WHAT_EVA",
    "EvaShape",
    "read_eva",
    "rope_angles",
]

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
_HEAD_DIM = 64
"""Width of a head (`head_width`), where the file has no rotary table to read it from."""
EVA_NORM_EPS = 1e-6

WHAT_EVA = "EVA02-CLIP vision tower"

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


def rope_angles(grid: int, head_dim: int) -> NDArray[np.float32]:
    """The angle by which each pair of channels of a token turns.

    With f_i = theta ** (-4 i / head_dim) for i < head_dim / 4, and the patch at row r and
    column c: the first half of the pairs turns by r' f_i, the second by c' f_i, where
    r' = r * 16 / grid. The CLS token does not turn.

    Returns:
        (1 + grid**2, head_dim / 2).

    Source: EVA-CLIP rope.py `VisionRotaryEmbeddingFast`.
    """
    quarter = head_dim // 4
    frequencies = np.float32(ROPE_THETA) ** (-np.arange(quarter, dtype=np.float32) / quarter)
    positions = np.arange(grid, dtype=np.float32) * np.float32(ROPE_PRETRAIN_GRID / grid)
    angles = np.outer(positions, frequencies)
    whole = np.zeros((1 + grid**2, 2 * quarter), np.float32)
    patches = whole[1:].reshape(grid, grid, 2 * quarter)
    patches[..., :quarter] = angles[:, None]
    patches[..., quarter:] = angles[None]
    return whole


def read_eva(path: str | os.PathLike[str]) -> tuple[EvaShape, dict[str, StoredTensor]]:
    """Read the vision tower from EVA-CLIP's own checkpoint or from one in timm's layout.

    Args:
        path: `EVA02_CLIP_L_336_psz14_s6B.pt` (the full CLIP, keys `visual.*`), or a
            `.safetensors` or checkpoint of it, or of timm's or open_clip's model.

    Returns:
        Its sizes, and its tensors under timm's names.

    Raises:
        ModelFileError: Not such a file.
    """
    file = Path(path)
    tensors = _as_timm(read_weights(file))
    return _shape_of(tensors, file), tensors


def _as_timm(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
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


def _shape_of(tensors: Mapping[str, StoredTensor], file: Path) -> EvaShape:
    dims = partial(shape_of, tensors, file, WHAT_EVA)
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
        head_dim=_HEAD_DIM if rope is None else rope.shape[-1],
        mlp_dim=dims("blocks.0.mlp.fc1_g.weight", 2)[0],
        patch_px=patch_px,
        grid=grid,
        embedding_dim=dims("head.weight", 2)[0],
    )
    if grid < 1 or grid**2 + 1 != tokens:
        raise ModelFileError(
            f"{file}: expected the {WHAT_EVA}, whose positions are a square of patches and a CLS "
            f"token; found {tokens}"
        )
    if depth <= N_SCALES:
        raise ModelFileError(
            f"{file}: expected the {WHAT_EVA} with more than {N_SCALES} blocks, found {depth}"
        )
    if shape.head_dim < 4 or shape.head_dim % 4 or width % shape.head_dim:
        raise ModelFileError(
            f"{file}: expected the {WHAT_EVA} with a width that is a multiple of its head width, "
            f"found {width} and {shape.head_dim}"
        )
    return shape
