"""Which family a model is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import flux_shapes, write_empty_safetensors
from pulid_sdcpp import ContextOptions
from pulid_sdcpp.families.sdxl.unet_layout import DIFFUSERS_UNET
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.model_files.model_family import is_sdxl_model

UNET = dict(unet_tensor_shapes(UnetSizes(32, (1, 1))))


def test_sdxl_alone_and_as_a_checkpoint(tmp_path: Path) -> None:
    alone = write_empty_safetensors(tmp_path / "unet.safetensors", UNET)
    full = {f"model.diffusion_model.{name}": shape for name, shape in UNET.items()}
    checkpoint = write_empty_safetensors(tmp_path / "sdxl.safetensors", full)
    assert is_sdxl_model({"diffusion_model_path": alone, "model_path": ""})
    assert is_sdxl_model({"model_path": str(checkpoint)})
    options = ContextOptions(model_path=checkpoint)
    assert is_sdxl_model(vars(options))


def test_another_file_under_the_name_is_read_anew(tmp_path: Path) -> None:
    path = write_empty_safetensors(tmp_path / "model.safetensors", UNET)
    assert is_sdxl_model({"diffusion_model_path": path})
    path.unlink()
    write_empty_safetensors(path, flux_shapes(1, 1))
    assert not is_sdxl_model({"diffusion_model_path": path})


@pytest.mark.parametrize("content", [None, b"", b"neither"])
def test_what_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    assert not is_sdxl_model({"diffusion_model_path": str(path)})
    assert not is_sdxl_model({"model_path": str(tmp_path)})  # a folder
    assert not is_sdxl_model({})
    damaged = tmp_path / DIFFUSERS_UNET
    damaged.parent.mkdir()
    damaged.write_bytes(b"neither")
    assert not is_sdxl_model({"model_path": str(tmp_path)})
