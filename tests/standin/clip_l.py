"""A CLIP-L text encoder that tells prompts apart and is nearly empty.

The engine fixes its size: 12 layers, 768 wide, 49,408 tokens, 123 million parameters. The
file says it in 27 MB that take little room on most disks: see `clip_text`.
"""

from __future__ import annotations

from pulid_sdcpp.model_files.clip_l_layout import LAYERS, MLP_WIDTH, WIDTH
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .clip_text import ClipTextShape, clip_text_tensors

__all__ = ["clip_l_tensors"]


def clip_l_tensors(seed: int) -> list[TensorSpec]:
    """The tensors of a CLIP-L text encoder for a gguf file."""
    return clip_text_tensors(ClipTextShape(WIDTH, MLP_WIDTH, LAYERS), seed)
