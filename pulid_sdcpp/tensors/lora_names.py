"""What a tensor of a LoRA file is, told by its name: which module, and which part of its change.

Every trainer has names of its own; here are the endings, in `lora_places` the modules. Sources:
the writers of these files, kohya-ss/sd-scripts (networks/lora_flux.py), huggingface/peft
(utils/save_and_load.py), huggingface/diffusers (loaders/lora_conversion_utils.py),
KohakuBlueleaf/LyCORIS (modules), Nerogar/OneTrainer.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HADAMARD", "KINDS_OF_ADAPTERS", "KRONECKER", "split_name"]

HADAMARD: Final = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
KRONECKER: Final = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")

_ENDINGS = {
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A": "down",
    ".lora_B": "up",
    ".lora_B.bias": "up_bias",
    ".lora_up.bias": "up_bias",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".lora_magnitude_vector.weight": "dora",
    ".lora_magnitude_vector": "dora",
    ".dora_scale": "dora",
    **{f".{role}": role for role in (*HADAMARD, *KRONECKER)},
}
_OF_AN_ADAPTER = re.compile(r"\.lora_([AB])\.[A-Za-z0-9_-]{1,64}\.(weight|bias)$")
_ROLES = {("A", "weight"): "down", ("B", "weight"): "up", ("B", "bias"): "up_bias"}

# Kinds of files that change a model in a way that is not made here, by a piece of a name.
KINDS_OF_ADAPTERS: Final = (
    (re.compile(r"\.processor\.(proj|qkv)_lora"), "an XLabs LoRA, which changes attention itself"),
    (re.compile(r"\.(b?oft_[A-Za-z]+)\b"), "an OFT file, which turns weights"),
    (re.compile(r"\.(a1|a2|b1|b2)\.weight$"), "a GLoRA"),
    (re.compile(r"\.on_input$"), "an (IA)^3 file"),
    (re.compile(r"\.vera_(A|B|lambda_[bd])$"), "a VeRA file"),
    (re.compile(r"\.(hada_t[12]|lokr_t2)$"), "a LoRA of convolutions (Tucker)"),
    (re.compile(r"\.(lora_magnitude_vector|dora_scale)\b"), "a DoRA, which scales whole weights"),
)


def split_name(name: str) -> tuple[str, str] | None:
    """Split a tensor's name.

    Returns:
        The module as the file spells it, and the role: "down", "up", "mid", "alpha", "up_bias",
        "diff", "diff_b", "dora", or one of HADAMARD and KRONECKER. None: no ending of a LoRA.
    """
    for ending, role in _ENDINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), role
    if match := _OF_AN_ADAPTER.search(name):
        role = _ROLES.get((match[1], match[2]), "")
        return (name[: match.start()], role) if role else None
    return None
