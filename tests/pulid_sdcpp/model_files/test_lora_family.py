"""LoRAs by the family they were made for, and one for Flux beside an SDXL model."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.model_files.description import describe_file
from pulid_sdcpp.model_files.lora_checks import check_prompt_loras

TEXT = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
FEED = "attentions.0.transformer_blocks.1.ff.net.2"


@pytest.mark.parametrize(
    ("module", "inputs", "made_for"),
    [
        (TEXT, 2048, "SDXL"),
        (TEXT, 768, "Stable Diffusion 1"),
        (TEXT, 1024, "Stable Diffusion 2"),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v", 2048, "SDXL"),
        (f"unet.down_blocks.1.{FEED}", 64, "SDXL"),
        ("lora_unet_down_blocks_2_attentions_0_transformer_blocks_9_ff_net_2", 64, "SDXL"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, "SDXL"),
        ("lora_unet_double_blocks_0_img_attn_proj", 64, "Flux"),
        ("transformer.single_transformer_blocks.1.attn.to_q", 64, "Flux"),
        ("transformer.transformer_blocks.1.attn.to_q", 64, "Flux"),
        ("lora_transformer_transformer_blocks_1_attn_to_out_0", 64, "Flux"),
        ("lora_unet_transformer_blocks_1_attn_to_out_0", 64, "Flux"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", 768, "another model, or text"),
        ("unet.down_blocks.1.resnets.0.conv1", 64, "another model, or text"),
    ],
)
def test_the_family_is_told(tmp_path: Path, module: str, inputs: int, made_for: str) -> None:
    path = lora(tmp_path, module, inputs)
    info = describe_file(path)
    assert info.kind == "lora"
    assert str(info.details["made for"]).startswith(made_for)


def lora(folder: Path, module: str, inputs: int, outputs: int = 8) -> Path:
    shapes = {f"{module}.lora_down.weight": (4, inputs), f"{module}.lora_up.weight": (outputs, 4)}
    return write_empty_safetensors(folder / "style.safetensors", shapes)


def test_one_for_another_family_is_refused_beside_sdxl(tmp_path: Path) -> None:
    unet = dict(unet_tensor_shapes(UnetSizes(32, (1, 1))))
    model = write_empty_safetensors(tmp_path / "unet.safetensors", unet)
    files = {"diffusion_model_path": str(model), "lora_model_dir": str(tmp_path)}
    path = lora(tmp_path, "lora_unet_double_blocks_0_img_attn_proj", 64)
    says = "style.safetensors: a LoRA for Flux, which does not fit SDXL"
    with pytest.raises(ModelFileError, match=says):
        check_prompt_loras("a person <lora:style:1>", files)
    lora(tmp_path, TEXT, 2048, outputs=64)
    assert check_prompt_loras("a person <lora:style:1>", files) == [path]
