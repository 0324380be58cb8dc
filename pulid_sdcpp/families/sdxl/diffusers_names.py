"""Tensor names of an SDXL UNet in the diffusers library, and their originals.

    down_blocks.<i>.resnets.<j>          input_blocks.<3i + j + 1>.0
    down_blocks.<i>.attentions.<j>       input_blocks.<3i + j + 1>.1
    down_blocks.<i>.downsamplers.0.conv  input_blocks.<3i + 3>.0.op
    up_blocks.<i>.resnets.<j>            output_blocks.<3i + j>.0
    up_blocks.<i>.attentions.<j>         output_blocks.<3i + j>.1
    up_blocks.<i>.upsamplers.0           output_blocks.<3i + 2>.2
    mid_block.resnets.<j>                middle_block.<2j>
    mid_block.attentions.0               middle_block.1

Source: huggingface/diffusers, scripts/convert_diffusers_to_original_sdxl.py.
"""

from __future__ import annotations

import re

__all__ = ["diffusers_unet_module", "original_unet_name"]

_SINGLE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_IN_RESNETS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(
    r"(?:(down|up)_blocks\.([0-9]+)|(mid)_block)"
    r"\.(resnets|attentions|downsamplers|upsamplers)\.([0-9]+)\.(.+)"
)


def original_unet_name(name: str) -> str:
    """The name in the original code of a tensor named by diffusers; of another, its own.

    Args:
        name: Without a prefix, such as "down_blocks.1.attentions.0.norm.weight".
    """
    layer, _, part = name.rpartition(".")
    if layer in _SINGLE:
        return f"{_SINGLE[layer]}.{part}"
    match = _BLOCK.fullmatch(name)
    if match is None:
        return name
    way, level, sort, number = match[1] or match[3], int(match[2] or 0), match[4], int(match[5])
    block = _block(way, level, sort, number)
    rest = match[6]
    if sort == "resnets":
        first, _, tail = rest.partition(".")
        rest = f"{_IN_RESNETS.get(first, first)}.{tail}"
    elif sort == "downsamplers":
        rest = rest.replace("conv.", "op.", 1)
    return f"{block}.{rest}"


def _block(way: str, level: int, sort: str, number: int) -> str:
    inner = 1 if sort == "attentions" else 0
    if way == "mid":
        return "middle_block.1" if inner else f"middle_block.{2 * number}"
    if sort == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0"
    if sort == "upsamplers":
        return f"output_blocks.{3 * level + 2}.2"
    if way == "down":
        return f"input_blocks.{3 * level + number + 1}.{inner}"
    return f"output_blocks.{3 * level + number}.{inner}"


def diffusers_unet_module(module: str) -> str:
    """The name in diffusers of a layer named by the original code.

    Args:
        module: Without a prefix and without ".weight", such as "input_blocks.4.1.proj_in".
    """
    for theirs, ours in _SINGLE.items():
        if module == ours:
            return theirs
    way, number, rest = (*module.split(".", 2), "")[:3]
    if way == "middle_block":
        block = (
            "mid_block.attentions.0" if number == "1" else f"mid_block.resnets.{int(number) // 2}"
        )
        return f"{block}.{_in_resnet(rest) if number != '1' else rest}"
    down = way == "input_blocks"
    level, index = divmod(int(number) - down, 3)
    inner, _, rest = rest.partition(".")
    levels = f"{'down' if down else 'up'}_blocks.{level}"
    if rest == "op":
        return f"{levels}.downsamplers.0.conv"
    if rest == "conv":
        return f"{levels}.upsamplers.0.conv"
    if inner == "1":
        return f"{levels}.attentions.{index}.{rest}"
    return f"{levels}.resnets.{index}.{_in_resnet(rest)}"


def _in_resnet(layer: str) -> str:
    """Its name in diffusers."""
    return next(theirs for theirs, ours in _IN_RESNETS.items() if ours == layer)
