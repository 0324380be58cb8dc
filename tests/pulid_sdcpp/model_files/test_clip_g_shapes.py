from __future__ import annotations

from math import prod

from pulid_sdcpp.model_files.clip_g_shapes import clip_g_shapes


def test_clip_g() -> None:
    shapes = dict(clip_g_shapes())
    # As transformers counts SDXL's CLIPTextModelWithProjection.
    assert sum(map(prod, shapes.values())) == 694_659_840
    assert shapes["transformer.resblocks.31.mlp.c_fc.weight"] == (5120, 1280)
    assert shapes["text_projection"] == (1280, 1280)


def test_fewer_layers() -> None:
    assert len(dict(clip_g_shapes(2))) == 5 + 2 * 12
