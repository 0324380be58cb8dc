"""Which of the models with a UNet a file holds, told by the width of its text and its blocks.

Source: stable-diffusion.cpp, `ModelLoader::get_sd_version`; the configurations of the published
models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .tensor_header import TensorInfo

__all__ = ["SDXL_CONTEXT_WIDTH", "SDXL_LABEL_WIDTH", "UNET", "unet_kind"]

UNET = "a Stable Diffusion 1, 2 or XL model"
SDXL_CONTEXT_WIDTH = 2048
"""Of a text token: CLIP-L's 768 beside CLIP-G's 1280."""
SDXL_LABEL_WIDTH = 2816
"""CLIP-G's pooled 1280, and six sizes of 256 numbers each."""
_KOLORS_LABEL_WIDTH = 5632

_TEXT_KEY = re.compile(r"(?:^|\.)transformer_blocks\.\d+\.attn2\.to_k\.weight$")
_LABEL = re.compile(r"(?:^|\.)(label_emb\.0\.0|add_embedding\.linear_1)\.weight$")
_FIRST = re.compile(r"(?:^|\.)input_blocks\.0\.0\.weight$|^(unet\.)?conv_in\.weight$")
_MIDDLE = re.compile(r"(?:^|\.)(middle_block\.1|mid_block\.attentions\.0)\.")
_SECOND_OF_640 = re.compile(
    r"(?:^|\.)(output_blocks\.3\.1|up_blocks\.1\.attentions\.0)\.transformer_blocks\.1\."
)
_VIDEO = re.compile(r"\.time_(mixer|stack)\.|\.temporal_transformer_blocks\.")


def unet_kind(tensors: Mapping[str, TensorInfo]) -> tuple[str, str]:
    """Kind and words for a file with a UNet; see `file_kinds.ModelKind`.

    Args:
        tensors: Of the file, by name; other parts of a checkpoint are passed over.

    Returns:
        The kind "sdxl" for SDXL and what has all its blocks, "unet" for the others.
    """
    if any(map(_VIDEO.search, tensors)):
        return "unet", "a Stable Video Diffusion model"
    text, label = _inputs(tensors, _TEXT_KEY), _inputs(tensors, _LABEL)
    if label is None:
        older = {768: "a Stable Diffusion 1 model", 1024: "a Stable Diffusion 2 model"}
        return "unet", older.get(text or 0, UNET)
    if text == 1280:
        return "unet", "an SDXL refiner, which is no SDXL"
    if label == _KOLORS_LABEL_WIDTH:
        return "unet", "a Kolors model, which is no SDXL"
    if text != SDXL_CONTEXT_WIDTH:
        return "unet", UNET
    if not any(map(_MIDDLE.search, tensors)):
        smaller = "SSD-1B" if any(map(_SECOND_OF_640.search, tensors)) else "Segmind-Vega"
        return "unet", f"{smaller}, which is a smaller SDXL"
    channels = {9: " for inpainting", 8: " for edits"}
    return "sdxl", f"an SDXL model{channels.get(_inputs(tensors, _FIRST) or 0, '')}"


def _inputs(tensors: Mapping[str, TensorInfo], pattern: re.Pattern[str]) -> int | None:
    """Inputs of the first layer of that name; None: there is none."""
    for name, info in tensors.items():
        if pattern.search(name) and len(info.shape) >= 2:
            return info.shape[1]
    return None
