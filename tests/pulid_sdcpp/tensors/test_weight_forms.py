"""Forms of models that the engine does not read: the refusal says which one the file is."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import flux_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.flux.layout import check_diffusion_model, flux_info
from pulid_sdcpp.model_files.description import check_text_encoder, describe_file
from pulid_sdcpp.model_files.engine_checks import check_engine_files

QKV = "double_blocks.0.img_attn.qkv"
NUNCHAKU = {
    "transformer_blocks.0.attn.to_qkv.lora_down": (8, 8),
    "single_transformer_blocks.0.qkv_proj.qweight": (8, 8),
    "single_transformer_blocks.0.qkv_proj.wscales": (8, 8),
}
FLUX = flux_shapes()
FORMS = {
    "nf4": (FLUX | {f"{QKV}.weight.quant_state.bitsandbytes__nf4": (8,)}, "NF4 by bitsandbytes"),
    "fp4": (FLUX | {f"{QKV}.weight.quant_state.bitsandbytes__fp4": (8,)}, "FP4 by bitsandbytes"),
    "absmax": (FLUX | {f"{QKV}.weight.absmax": (8,)}, "quantized by bitsandbytes"),
    "int8": (FLUX | {f"{QKV}.SCB": (8,)}, "8 bits by bitsandbytes"),
    "nunchaku": (NUNCHAKU, "quantized by nunchaku"),
    "gptq": (FLUX | {f"{QKV}.qweight": (8,), f"{QKV}.g_idx": (8,)}, "quantized by GPTQ"),
    "awq": (FLUX | {f"{QKV}.qweight": (8,), f"{QKV}.qzeros": (8,)}, "by AWQ or GPTQ"),
    "packed": (FLUX | {f"{QKV}.qweight": (8,)}, "of packed integers"),
    "quanto": (
        {"single_transformer_blocks.0.proj_out.weight._data": (8, 8)}
        | {"single_transformer_blocks.0.proj_out.weight._scale": (8, 1)},
        "quantized by quanto",
    ),
    "torchao": (FLUX | {f"{QKV}._weight_qdata": (8,)}, "quantized by torchao"),
    "nvfp4": (FLUX | {f"{QKV}.weight_scale_2": ()}, "quantized to NVFP4"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_the_engine_does_not_read_is_named(tmp_path: Path, form: str) -> None:
    shapes, words = FORMS[form]
    path = write_empty_safetensors(tmp_path / "model.safetensors", shapes)
    info = describe_file(path)
    assert info.kind == "quantized"
    assert info.summary.startswith("a Flux model ")
    assert f"{words}, which the engine cannot read (use a gguf" in info.summary
    for needs in ("flux", None):
        with pytest.raises(ModelFileError, match="which the engine cannot read"):
            check_engine_files({"diffusion_model_path": str(path)}, needs)


def test_a_quantized_text_encoder_is_named(tmp_path: Path) -> None:
    shapes = {"shared.weight": (32128, 4096), "shared.weight._scale": (1,)}
    shapes["encoder.block.0.layer.0.SelfAttention.q.weight"] = (4096, 4096)
    path = write_empty_safetensors(tmp_path / "t5.safetensors", shapes)
    with pytest.raises(ModelFileError, match="found a T5-XXL text encoder quantized by quanto"):
        check_text_encoder(path, "t5xxl")


@pytest.mark.parametrize("name", ["x-00002-of-00003.safetensors", "Flux-1-of-2.safetensors"])
def test_one_part_of_a_model_is_named(tmp_path: Path, name: str) -> None:
    shapes = dict(FLUX)
    del shapes["final_layer.linear.bias"]
    path = write_empty_safetensors(tmp_path / name, shapes)
    with pytest.raises(ModelFileError, match=r"final_layer.linear.bias is missing; by its name"):
        check_diffusion_model(path)
    path = write_empty_safetensors(tmp_path / name, {"vector_in.bias": (3,)})
    assert describe_file(path).details["by its name"] in ("part 2 of 3", "part 1 of 2")
    of_diffusers = {"single_transformer_blocks.0.proj_out.weight": (8, 8)}
    for look in (describe_file, flux_info):
        path = write_empty_safetensors(tmp_path / name, of_diffusers)
        with pytest.raises(ModelFileError, match=r"by its name it is part \d of \d of a model"):
            look(path)
    with pytest.raises(ModelFileError, match=r"by its name it is part \d of \d of a model"):
        check_text_encoder(path, "t5xxl")


def test_a_whole_model_may_be_called_a_part(tmp_path: Path) -> None:
    check_diffusion_model(write_empty_safetensors(tmp_path / "x-00001-of-00002.safetensors", FLUX))
    path = write_empty_safetensors(tmp_path / "x-00001-of-00001.safetensors", {"x": (1,)})
    with pytest.raises(ModelFileError, match=r"unknown model$"):
        flux_info(path)


def test_the_list_of_parts_is_named(tmp_path: Path) -> None:
    path = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text('{"metadata": {"total_size": 1}, "weight_map": {}}\n')
    with pytest.raises(ModelFileError, match="found the list of a model's parts"):
        flux_info(path)


@pytest.mark.parametrize("prefix", ["transformer.", "diffusion_model.", "model.", "_orig_mod."])
def test_another_prefix_is_named(tmp_path: Path, prefix: str) -> None:
    shapes = {prefix + name: shape for name, shape in FLUX.items()}
    path = write_empty_safetensors(tmp_path / "x.safetensors", shapes)
    with pytest.raises(ModelFileError, match=f"whose tensors begin with '{prefix}'"):
        check_diffusion_model(path)
