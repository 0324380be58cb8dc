"""Which cross-attentions of an SDXL UNet get an identity, and under which number.

PuLID numbers them as PyTorch lists the UNet's attention processors: the blocks on the way down,
those on the way up, the middle block last; in each transformer block the self-attention (even
numbers, without weights) before the cross-attention (odd numbers). The UNet computes them in
another order, down, middle, up: so a layer is looked up by its name, never by counting.

Source: ToTheBeginning/PuLID, pulid/pipeline.py (hack_unet_attn_layers), and the order in which
diffusers' UNet2DConditionModel registers its blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["UnetAttentionLayer", "layer_index", "unet_attention_layers"]

_CROSS_ATTENTION = re.compile(
    r"(?:model\.diffusion_model\.)?"
    r"((input_blocks|output_blocks|middle_block)\.(?:([0-9]{1,4})\.)?([0-9]{1,4})"
    r"\.transformer_blocks\.([0-9]{1,4})\.attn2)\.to_q\.weight$"
)
_ORDER = {"input_blocks": 0, "output_blocks": 1, "middle_block": 2}


@dataclass(frozen=True)
class UnetAttentionLayer:
    """A cross-attention of a UNet.

    Attributes:
        index: PuLID's number of it: 1, 3, 5, ...
        module: Its name, such as "input_blocks.4.1.transformer_blocks.0.attn2".
        width: Channels C of its queries; heads are C / 64.
    """

    index: int
    module: str
    width: int


def unet_attention_layers(shapes: Mapping[str, tuple[int, ...]]) -> tuple[UnetAttentionLayer, ...]:
    """The cross-attentions of a UNet in the order of PuLID's numbers.

    Args:
        shapes: Row-major shapes of its tensors by the names of the original code (not those of
            diffusers), with or without "model.diffusion_model." before them. Other tensors are
            passed over.
    """
    found = []
    for name, shape in shapes.items():
        match = _CROSS_ATTENTION.match(name)
        if match:
            place = (_ORDER[match[2]], int(match[3] or 0), int(match[4]), int(match[5]))
            found.append((place, match[1], shape[0]))
    return tuple(
        UnetAttentionLayer(layer_index(ordinal), module, width)
        for ordinal, (_, module, width) in enumerate(sorted(found))
    )


def layer_index(ordinal: int) -> int:
    """PuLID's number of the cross-attention that is `ordinal`-th (from 0) in its order."""
    return 2 * ordinal + 1
