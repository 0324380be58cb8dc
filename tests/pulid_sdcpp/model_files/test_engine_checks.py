"""What an engine is to load, checked before native code sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.model_files.engine_checks import check_engine_files


def test_a_controlnet_is_refused_with_flux(
    standin_weights: dict[str, Path], tmp_path: Path
) -> None:
    """The engine's are for Stable Diffusion."""
    control = write_empty_safetensors(tmp_path / "control.safetensors", {"a.weight": (8, 8)})
    files = {
        "diffusion_model_path": standin_weights["flux-f16"],
        "clip_l_path": standin_weights["clip_l"],
        "vae_path": standin_weights["vae"],
    }
    assert check_engine_files(files, needs="flux") is not None
    with pytest.raises(ValueError, match=r"control_net_path is '.*control\.safetensors', but the"):
        check_engine_files({**files, "control_net_path": str(control)}, needs=None)


@pytest.mark.parametrize(
    ("argument", "tensor", "found"),
    [
        ("model_path", "double_blocks.0.img_attn.proj.lora_A.weight", "a LoRA"),
        ("diffusion_model_path", "double_blocks.0.img_attn.proj.lora_A.weight", "a LoRA"),
        ("diffusion_model_path", "decoder.conv_in.weight", "an autoencoder"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, argument: str, tensor: str, found: str) -> None:
    path = write_empty_safetensors(tmp_path / "x.safetensors", {tensor: (8, 8)})
    with pytest.raises(ModelFileError, match=f"x.safetensors: expected a model, found {found}"):
        check_engine_files({argument: str(path)}, needs=None)
