"""The UNet's tensors, against figures of the published one that are known independently."""

from __future__ import annotations

from math import prod

import pytest

from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes


def test_the_published_unet() -> None:
    listed = list(unet_tensor_shapes(UnetSizes()))
    shapes = dict(listed)
    assert len(shapes) == len(listed) == 1680
    assert sum(map(prod, shapes.values())) == 2_567_463_684  # as diffusers counts them
    assert shapes["input_blocks.4.0.skip_connection.weight"] == (640, 320, 1, 1)
    assert shapes["input_blocks.6.0.op.weight"] == (640, 640, 3, 3)
    assert shapes["output_blocks.2.2.conv.weight"] == (1280, 1280, 3, 3)
    assert shapes["output_blocks.5.0.in_layers.2.weight"] == (640, 960, 3, 3)
    assert shapes["label_emb.0.0.weight"] == (1280, 2816)
    ff = "middle_block.1.transformer_blocks.9.ff.net.0.proj.weight"
    assert shapes[ff] == (10240, 1280)


@pytest.mark.parametrize(("depths", "layers"), [((2, 10), 70), ((2, 3), 28), ((1, 2), 17)])
def test_cross_attentions(depths: tuple[int, int], layers: int) -> None:
    shapes = dict(unet_tensor_shapes(UnetSizes(model_channels=32, depths=depths)))
    keys = [name for name in shapes if name.endswith("attn2.to_k.weight")]
    assert len(keys) == layers
    assert {shapes[name][0] for name in keys} == {64, 128}
    assert {shapes[name][1] for name in keys} == {2048}


def test_an_inpainting_model_has_more_inputs() -> None:
    shapes = dict(unet_tensor_shapes(UnetSizes(in_channels=9)))
    assert shapes["input_blocks.0.0.weight"] == (320, 9, 3, 3)
    assert shapes["out.2.weight"] == (4, 320, 3, 3)
