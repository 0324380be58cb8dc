"""Damaged PuLID weights and UNets are refused by one line, or right; the engine is not asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from file_drafts import write_empty_safetensors
from hostile.mutations import mutated_file
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.families.sdxl.unet_layout import unet_info

PULID = {"id_adapter.body.0.weight": (8, 8)} | {
    f"id_adapter_attn_layers.{index}.id_to_{part}.weight": (64, 32)
    for index in (1, 3, 5)
    for part in "kv"
}
# What the sizes are read from.
UNET = {
    "model.diffusion_model.input_blocks.0.0.weight": (32, 4, 3, 3),
    "model.diffusion_model.label_emb.0.0.weight": (128, 2816),
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (4, 2048),
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_q.weight": (4, 4),
    "model.diffusion_model.input_blocks.7.1.transformer_blocks.0.attn2.to_q.weight": (4, 4),
    "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_q.weight": (4, 4),
}


def use(path: Path) -> None:
    with SdxlPulidWeights(path) as weights:
        weights.check_data()
        for index, width in weights.widths.items():
            for rows in weights.rows(index):
                assert rows[:].shape == (width, weights.id_dim)
                assert rows[:].dtype == np.float32


def said(task: Callable[[Path], object], path: Path) -> str:
    """What a file is refused with; "": it is not."""
    try:
        task(path)
    except ModelFileError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(("shapes", "task"), [(PULID, use), (UNET, unet_info)])
def test_damaged(
    tmp_path: Path,
    number: int,
    shapes: dict[str, tuple[int, ...]],
    task: Callable[[Path], object],
) -> None:
    path = write_empty_safetensors(tmp_path / "model.safetensors", shapes, fill=60)
    assert said(task, path) == ""
    data = path.read_bytes()
    for part in range(10):
        _, damaged = mutated_file(data, Random(f"sdxl {number} {part}"))
        path.write_bytes(damaged)
        message = said(task, path)
        assert message == "" or str(path) in message
        assert "\n" not in message
