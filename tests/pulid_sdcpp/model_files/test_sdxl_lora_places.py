"""LoRAs for SDXL: every tensor has a place in the UNet or a text encoder, or the file is refused.

What the engine makes of the converted files is in tests/pulid_sdcpp/engine/test_sdxl_loras.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from file_drafts import write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.sdxl.diffusers_names import diffusers_unet_module, original_unet_name
from pulid_sdcpp.families.sdxl.unet_layout import UnetInfo, published_sdxl_unet
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.model_files.clip_g_shapes import clip_g_shapes
from pulid_sdcpp.model_files.lora_checks import check_prompt_loras, is_fused
from pulid_sdcpp.model_files.lora_files import LoraFiles
from pulid_sdcpp.model_files.lora_places_sdxl import SdxlLoraPlaces
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_file import TensorFile
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

UNET = UnetInfo("unet.gguf", UnetSizes(32, (1, 1)), ())
TOP, CLIP, CLIP_G = (
    "model.diffusion_model.", "cond_stage_model.transformer.", "cond_stage_model.1.transformer.",
)  # fmt: skip
LAYER = "text_model.encoder.layers.3.self_attn.q_proj"
QUERY = "input_blocks.4.1.transformer_blocks.0.attn2.to_q"
THEIR_QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q"
OUTPUT = "output_blocks.1.1.transformer_blocks.0.attn1.to_out.0"
THEIR_OUTPUT = "up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out"
Arrays = dict[str, np.ndarray]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("spelling", "engine_name"),
    [(prefix + QUERY, TOP + QUERY) for prefix in ("", TOP, "diffusion_model.", "unet.")]
    + [(prefix + THEIR_QUERY, TOP + QUERY) for prefix in (
        "", "unet.", "base_model.model.", "unet.base_model.model.", "base_model.model.unet.")]
    + [(f"{prefix}{name.replace('.', '_')}", TOP + QUERY)
       for prefix in ("lora_unet_", "lycoris_") for name in (QUERY, THEIR_QUERY)]
    + [(f"unet.{THEIR_QUERY.replace('attn2', 'attn2.processor')}", TOP + QUERY),
       (f"unet.{THEIR_OUTPUT.replace('attn1', 'attn1.processor')}", TOP + OUTPUT),
       (f"lora_unet_{THEIR_OUTPUT.replace('.', '_')}_0", TOP + OUTPUT),
       ("lora_unet_mid_block_attentions_0_proj_in", TOP + "middle_block.1.proj_in"),
       ("lora_unet_middle_block_2_emb_layers_1", TOP + "middle_block.2.emb_layers.1"),
       ("unet.mid_block.resnets.1.time_emb_proj", TOP + "middle_block.2.emb_layers.1"),
       ("lora_unet_down_blocks_0_downsamplers_0_conv", TOP + "input_blocks.3.0.op"),
       ("lora_unet_up_blocks_0_upsamplers_0_conv", TOP + "output_blocks.2.2.conv"),
       ("unet.up_blocks.2.resnets.0.conv_shortcut", TOP + "output_blocks.6.0.skip_connection"),
       ("unet.conv_in", TOP + "input_blocks.0.0"), ("lora_unet_out_2", TOP + "out.2")]
    + [(prefix + LAYER, CLIP + LAYER) for prefix in (
        "text_encoder.", "clip_l.", "base_model.model.text_encoder.")]
    + [(prefix + LAYER, CLIP_G + LAYER) for prefix in ("text_encoder_2.", "clip_g.", "te2.")]
    + [(f"lora_te1_{LAYER.replace('.', '_')}", CLIP + LAYER),
       (f"lora_te2_{LAYER.replace('.', '_')}", CLIP_G + LAYER),
       (f"text_encoder_2_{LAYER.replace('.', '_')}", CLIP_G + LAYER)],
)  # fmt: skip
def test_every_spelling(spelling: str, engine_name: str) -> None:
    places = SdxlLoraPlaces(UNET)
    place = places.find(spelling)
    assert place is not None
    assert place.engine_name == engine_name
    assert places.problem(spelling) == ""


@pytest.mark.parametrize("sizes", [UnetSizes(), UNET.sizes], ids=["published", "small"])
def test_each_layer_has_a_name_in_diffusers(sizes: UnetSizes) -> None:
    names = [name for name, shape in unet_tensor_shapes(sizes) if len(shape) > 1]
    theirs = [diffusers_unet_module(name.removesuffix(".weight")) for name in names]
    assert len(set(theirs)) == len(names)
    assert [original_unet_name(f"{name}.weight") for name in theirs] == names


def test_the_last_layer_of_the_published_model() -> None:
    last = "lora_unet_mid_block_attentions_0_transformer_blocks_{}_ff_net_2"
    places = SdxlLoraPlaces(published_sdxl_unet())
    assert places.problem(last.format(9)) == ""
    assert "SDXL of 2 and 10 transformer blocks" in places.problem(last.format(10))


def converted(folder: Path, tensors: Mapping[str, np.ndarray], fused: bool = False) -> Arrays:
    path = folder / "some.safetensors"
    write_safetensors(
        path,
        [TensorSpec(name, values.shape, "f32", lambda values=values: values)
         for name, values in tensors.items()],
    )  # fmt: skip
    files = LoraFiles(SdxlLoraPlaces(UNET, fused))
    try:
        with TensorFile(files.convert([path])[str(path)]) as file:
            return {name: file.read(name) for name in file.names()}
    finally:
        files.close()


def named(module: str, *shapes: tuple[int, ...]) -> Arrays:
    ends = ("down", "up", "mid")
    pairs = zip(ends, shapes, strict=False)
    return {f"{module}.lora_{end}.weight": noise(*shape) for end, shape in pairs}


KERNELS = "lora_unet_input_blocks_1_0_in_layers_2"
WHOLE = (32, 32, 3, 3)


@pytest.mark.parametrize("form", ["two", "three", "whole", "hadamard", "kronecker"])
def test_a_convolution_is_what_its_factors_make(tmp_path: Path, form: str) -> None:
    if form == "two":
        tensors = named(KERNELS, (4, 32, 3, 3), (32, 4, 1, 1))
        down, up = tensors.values()
        expected = np.einsum("or,rihw->oihw", up[:, :, 0, 0], down)
    elif form == "three":
        tensors = named(KERNELS, (4, 32, 1, 1), (32, 5, 1, 1), (5, 4, 3, 3))
        down, up, mid = tensors.values()
        expected = np.einsum("or,rqhw,qi->oihw", up[..., 0, 0], mid, down[..., 0, 0])
    elif form == "whole":
        tensors = {f"{KERNELS}.diff": noise(*WHOLE)}
        expected = tensors[f"{KERNELS}.diff"]
    elif form == "hadamard":
        shapes = {"w1_a": (32, 4), "w1_b": (4, 288), "w2_a": (32, 3), "w2_b": (3, 288)}
        tensors = {f"{KERNELS}.hada_{end}": noise(*shape) for end, shape in shapes.items()}
        a, b, c, d = tensors.values()
        expected = ((a @ b) * (c @ d)).reshape(WHOLE)
    else:
        tensors = {f"{KERNELS}.lokr_w1": noise(4, 4), f"{KERNELS}.lokr_w2": noise(8, 8, 3, 3)}
        first, second = tensors.values()
        expected = np.einsum("ab,cdhw->acbdhw", first, second).reshape(WHOLE)
    if form in ("two", "three"):
        tensors[f"{KERNELS}.alpha"] = np.array([2.0], np.float32)
        expected = expected * 2 / 4
    found = converted(tmp_path, tensors)
    name = f"{TOP}input_blocks.1.0.in_layers.2"
    if form in ("two", "three"):
        down, up = (found.pop(f"{name}.lora_{end}.weight") for end in ("down", "up"))
        assert up.shape[2:] == (1, 1)
        change = np.einsum("or,rihw->oihw", up[:, :, 0, 0], down)
    else:
        change = found.pop(f"{name}.diff")
    assert not found
    np.testing.assert_allclose(change, expected, atol=1e-5 * np.abs(expected).max())


def test_a_text_encoder_whose_queries_keys_and_values_are_one_matrix(tmp_path: Path) -> None:
    """The engine lays the parts by their names, and stops at one that is missing."""
    module = "text_encoder_2." + LAYER.replace("q_proj", "k_proj")
    tensors = named(module, (4, 1280), (1280, 4))
    plain = converted(tmp_path, tensors)
    assert len(plain) == 2
    found = converted(tmp_path, tensors, fused=True)
    for name, values in plain.items():
        assert np.array_equal(found[name], values)
        for part in ("q_proj", "v_proj"):
            assert not found[name.replace("k_proj", part)].any()
    assert len(found) == 6


def test_checkpoints_are_told_to_have_one_matrix(tmp_path: Path) -> None:
    names = {f"conditioner.embedders.1.model.{name}": shape for name, shape in clip_g_shapes(1)}
    assert is_fused(str(write_empty_safetensors(tmp_path / "a.safetensors", names)))
    other = {f"text_model.encoder.layers.0.self_attn.{part}_proj.weight": (4, 4) for part in "qkv"}
    assert not is_fused(str(write_empty_safetensors(tmp_path / "b.safetensors", other)))
    assert not is_fused("")
    assert not is_fused(str(tmp_path))


GOOD = named("lora_unet_" + QUERY.replace(".", "_"), (4, 64), (64, 4))
UNUSABLE: dict[str, tuple[Arrays, str]] = {
    "no such layer": (named("lora_unet_input_blocks_9_1_proj_in", (4, 8), (8, 4)),
                      "'lora_unet_input_blocks_9_1_proj_in.lora_down.weight' has no place"),
    "a block too many": (named("unet." + THEIR_QUERY.replace("blocks.0", "blocks.1"),
                               (4, 64), (64, 4)), "no place in the model, an SDXL of 1 and 1"),
    "T5": (named("lora_te3_encoder_block_0_layer_0_SelfAttention_q", (4, 4096), (4096, 4)),
           "no place"),
    "the time": (named("lora_unet_time_embed_0", (4, 32), (128, 4)), "how the time or the sizes"),
    "the sizes": (named("unet.add_embedding.linear_1", (4, 2816), (128, 4)), "the sizes are"),
    "width": (named("lora_unet_" + QUERY.replace(".", "_"), (4, 66), (64, 4)), r"\(4, 64\) fits"),
    "no kernels": (named(KERNELS, (4, 32), (32, 4)), r"\(4, 32, 3, 3\) fits"),
    "three factors of a matrix": (named("lora_unet_" + QUERY.replace(".", "_"), (4, 64), (64, 4),
                                        (4, 4, 3, 3)), "only convolutions"),
    "ranks": (named(KERNELS, (4, 32, 1, 1), (32, 5, 1, 1), (5, 3, 3, 3)), r"\(3, 32\) fits"),
    "a bias that is not there": ({f"unet.{THEIR_QUERY}.diff_b": noise(64)}, "does not have"),
    "Flux": (named("lora_unet_double_blocks_0_img_attn_proj", (4, 64), (64, 4)),
             "a LoRA for Flux, which does not fit SDXL"),
    "Stable Diffusion 1": (
        {**named("lora_te_" + LAYER.replace(".", "_"), (4, 768), (768, 4)),
         **named("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
                 (4, 768), (320, 4))}, "a LoRA for Stable Diffusion 1, which does not fit"),
    "not a LoRA's": ({"unet.conv_norm_out.weight": noise(32)}, "nothing that a LoRA of SDXL has"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_does_not_fit_wholly_is_refused_by_its_name(tmp_path: Path, case: str) -> None:
    """Before the engine is loaded, though the rest of the file fits."""
    tensors, message = UNUSABLE[case]
    beside = {} if case in ("width", "three factors of a matrix") else GOOD
    write_safetensors(
        tmp_path / "some.safetensors",
        [TensorSpec(name, values.shape, "f32", lambda values=values: values)
         for name, values in {**beside, **tensors}.items()],
    )  # fmt: skip
    model = write_empty_safetensors(
        tmp_path / "unet.safetensors", dict(unet_tensor_shapes(UNET.sizes))
    )
    files = {"diffusion_model_path": str(model), "lora_model_dir": str(tmp_path)}
    with pytest.raises(ModelFileError, match=message) as caught:
        check_prompt_loras("a person <lora:some:1>", files)
    assert "some.safetensors: " in str(caught.value)
