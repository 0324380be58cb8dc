"""PuLID's numbers of SDXL's cross-attentions, against the table written out."""

from __future__ import annotations

import random

from pulid_sdcpp.families.sdxl.attention_layers import UnetAttentionLayer, unet_attention_layers

# First number, transformer blocks, module, channels: SDXL as published, in PuLID's order.
TABLE = (
    (1, 2, "input_blocks.4.1", 640),
    (5, 2, "input_blocks.5.1", 640),
    (9, 10, "input_blocks.7.1", 1280),
    (29, 10, "input_blocks.8.1", 1280),
    (49, 10, "output_blocks.0.1", 1280),
    (69, 10, "output_blocks.1.1", 1280),
    (89, 10, "output_blocks.2.1", 1280),
    (109, 2, "output_blocks.3.1", 640),
    (113, 2, "output_blocks.4.1", 640),
    (117, 2, "output_blocks.5.1", 640),
    (121, 10, "middle_block.1", 1280),
)
PUBLISHED = tuple(
    UnetAttentionLayer(first + 2 * block, f"{module}.transformer_blocks.{block}.attn2", width)
    for first, depth, module, width in TABLE
    for block in range(depth)
)


def shapes_of(layers: tuple[UnetAttentionLayer, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{layer.module}.to_q.weight": (layer.width, layer.width) for layer in layers}


def test_the_published_unet_has_seventy_in_the_order_of_the_weights():
    assert [layer.index for layer in PUBLISHED] == list(range(1, 140, 2))
    assert sum(layer.width for layer in PUBLISHED) == 83_200
    assert unet_attention_layers(shapes_of(PUBLISHED)) == PUBLISHED


def test_the_order_of_names_does_not_matter_and_neither_does_a_prefix():
    names = [f"model.diffusion_model.{name}" for name in shapes_of(PUBLISHED)]
    widths = [layer.width for layer in PUBLISHED]
    pairs = list(zip(names, widths, strict=True))
    random.Random(0).shuffle(pairs)
    assert unet_attention_layers({name: (width, width) for name, width in pairs}) == PUBLISHED


def test_the_order_is_not_that_of_the_forward_pass():
    forward = [
        layer.module
        for part in ("input_", "middle_", "output_")
        for layer in PUBLISHED
        if layer.module.startswith(part)
    ]
    assert forward[:24] == [layer.module for layer in PUBLISHED[:24]]
    assert forward[24:] != [layer.module for layer in PUBLISHED[24:]]


def test_self_attention_and_other_tensors_are_passed_over():
    others = {
        "input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight": (640, 640),
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
        "control_model.input_blocks.4.1.transformer_blocks.0.attn2.to_q.weight": (640, 640),
        "input_blocks.4.1.transformer_blocks.0.attn2.to_q.weight.lora": (4, 640),
        "time_embed.0.weight": (1280, 320),
    }
    assert unet_attention_layers(others) == ()


def test_a_small_unet_is_numbered_by_the_same_rule():
    shapes = {
        f"{module}.transformer_blocks.{block}.attn2.to_q.weight": (64, 64)
        for module, depth in (
            ("middle_block.1", 1),
            ("output_blocks.10.1", 1),
            ("output_blocks.9.1", 1),
            ("input_blocks.4.1", 2),
        )
        for block in range(depth)
    }
    assert [(layer.index, layer.module) for layer in unet_attention_layers(shapes)] == [
        (1, "input_blocks.4.1.transformer_blocks.0.attn2"),
        (3, "input_blocks.4.1.transformer_blocks.1.attn2"),
        (5, "output_blocks.9.1.transformer_blocks.0.attn2"),
        (7, "output_blocks.10.1.transformer_blocks.0.attn2"),
        (9, "middle_block.1.transformer_blocks.0.attn2"),
    ]
