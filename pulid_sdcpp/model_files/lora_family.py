"""Which family of models a LoRA was made for, told by its names and the width of its text.

Source: kohya-ss/sd-scripts (networks/lora.py), huggingface/diffusers (loaders/lora_pipeline.py).
"""

from __future__ import annotations

import re

from ..errors import ModelFileError
from ..tensors.tensor_header import TensorHeader
from ..tensors.unet_kinds import SDXL_CONTEXT_WIDTH

__all__ = ["FAMILY_WORDS", "check_lora_family", "lora_family"]

FAMILY_WORDS = {
    "flux": "Flux",
    "sdxl": "SDXL",
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
}
_TEXT_WIDTHS = {768: "sd1", 1024: "sd2", SDXL_CONTEXT_WIDTH: "sdxl"}
_FLUX = re.compile(
    r"double_blocks|single_blocks|single_transformer_blocks|^lora_transformer_"
    r"|^(transformer\.|lora_unet_)transformer_blocks[._]"
)
_TEXT_INPUT = re.compile(r"attn2[._]to_[kv][._].*(down|A)\b")
# What only SDXL has: a second CLIP, and more than one transformer block in an attention.
_SDXL = re.compile(
    r"^lora_te2_text_model_|^text_encoder_2\.text_model\.|(down|up)_blocks.*transformer_blocks[._][1-9]"
    r"|(in|out)put_blocks.*transformer_blocks[._][1-9]"
)


def lora_family(header: TensorHeader) -> str | None:
    """The family a LoRA was made for.

    Returns:
        "flux", "sdxl", "sd1" or "sd2"; None where nothing in it tells.
    """
    names = header.tensors
    for name, info in names.items():
        if _TEXT_INPUT.search(name) and len(info.shape) >= 2 and info.shape[1] in _TEXT_WIDTHS:
            return _TEXT_WIDTHS[info.shape[1]]
    if any(map(_FLUX.search, names)):
        return "flux"
    return "sdxl" if any(map(_SDXL.search, names)) else None


def check_lora_family(header: TensorHeader, source: str, family: str) -> None:
    """Refuse a LoRA for another family than the model's: it would change nothing, or fail.

    Args:
        header: Of the LoRA.
        source: Its file, for the error.
        family: Of the model, as `lora_family` has it.

    Raises:
        ModelFileError: It is for another one; one that does not tell passes.
    """
    found = lora_family(header)
    if found not in (None, family):
        raise ModelFileError(
            f"{source}: a LoRA for {FAMILY_WORDS[str(found)]}, which does not fit "
            f"{FAMILY_WORDS[family]}"
        )
