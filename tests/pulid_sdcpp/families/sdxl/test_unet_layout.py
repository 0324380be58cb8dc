"""The sizes of SDXL's UNets, and models that look like one and are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import flux_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.sdxl.diffusers_names import original_unet_name
from pulid_sdcpp.families.sdxl.unet_layout import (
    DIFFUSERS_UNET,
    check_unet,
    published_sdxl_unet,
    unet_info,
)
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes

TINY = UnetSizes(model_channels=32, depths=(1, 2))
SHAPES = dict(unet_tensor_shapes(TINY))
PREFIX = "model.diffusion_model."
TEXT = "attn2.to_k.weight"

Shapes = dict[str, tuple[int, ...]]


def saved(folder: Path, shapes: Shapes) -> Path:
    return write_empty_safetensors(folder / "sdxl.safetensors", shapes)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        check_unet(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_sizes_are_read_from_the_header(tmp_path: Path, prefix: str) -> None:
    shapes = {prefix + name: shape for name, shape in SHAPES.items()}
    if prefix:
        shapes["first_stage_model.encoder.conv_in.weight"] = (8, 3, 3, 3)
        shapes["conditioner.embedders.1.model.ln_final.bias"] = (1280,)
    path = saved(tmp_path, shapes)
    info = check_unet(path)
    assert info == unet_info(path)
    assert (info.path, info.sizes, info.variant) == (str(path), TINY, "")
    assert info.dtypes == {"f16": len(SHAPES)}
    assert [layer.index for layer in info.layers] == list(range(1, 2 * len(info.layers), 2))
    assert len(info.layers) == 2 * 1 + 2 * 2 + 3 * 2 + 3 * 1 + 2
    assert {layer.width for layer in info.layers} == {64, 128}
    assert info.layers[-1].module == "middle_block.1.transformer_blocks.1.attn2"


def test_the_published_unet_has_seventy_cross_attentions() -> None:
    info = published_sdxl_unet()
    assert [layer.index for layer in info.layers] == list(range(1, 140, 2))
    assert info.layers[24].module == "output_blocks.0.1.transformer_blocks.0.attn2"
    assert sum(layer.width for layer in info.layers) == 83_200


@pytest.mark.parametrize(("channels", "variant"), [(9, "inpainting"), (8, "edits")])
def test_members_of_the_family_are_told_apart(tmp_path: Path, channels: int, variant: str) -> None:
    sizes = UnetSizes(model_channels=32, depths=(1, 1), in_channels=channels)
    assert check_unet(saved(tmp_path, dict(unet_tensor_shapes(sizes)))).variant == variant


def test_projections_may_be_convolutions(tmp_path: Path) -> None:
    shapes = {
        name: (*shape, 1, 1) if name.endswith(("proj_in.weight", "proj_out.weight")) else shape
        for name, shape in SHAPES.items()
    }
    assert check_unet(saved(tmp_path, shapes)).sizes == TINY


# The names of diffusers


def diffusers_shapes() -> Shapes:
    """The tiny UNet's shapes by the names that diffusers would give them, written out."""
    blocks = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2"}
    blocks |= {"label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2"}
    blocks |= {"input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}
    blocks |= {"middle_block.0": "mid_block.resnets.0", "middle_block.2": "mid_block.resnets.1"}
    blocks |= {"middle_block.1": "mid_block.attentions.0"}
    for number, level, index in ((1, 0, 0), (2, 0, 1), (4, 1, 0), (5, 1, 1), (7, 2, 0), (8, 2, 1)):
        blocks[f"input_blocks.{number}.0"] = f"down_blocks.{level}.resnets.{index}"
        blocks[f"input_blocks.{number}.1"] = f"down_blocks.{level}.attentions.{index}"
    for number in range(9):
        level, index = divmod(number, 3)
        blocks[f"output_blocks.{number}.0"] = f"up_blocks.{level}.resnets.{index}"
        blocks[f"output_blocks.{number}.1"] = f"up_blocks.{level}.attentions.{index}"
    blocks |= {"input_blocks.3.0.op": "down_blocks.0.downsamplers.0.conv"}
    blocks |= {"input_blocks.6.0.op": "down_blocks.1.downsamplers.0.conv"}
    blocks |= {"output_blocks.2.2": "up_blocks.0.upsamplers.0"}
    blocks |= {"output_blocks.5.2": "up_blocks.1.upsamplers.0"}
    inner = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj"}
    inner |= {"out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
    found: Shapes = {}
    for name, shape in SHAPES.items():
        block = max((block for block in blocks if name.startswith(f"{block}.")), key=len)
        rest = name.removeprefix(f"{block}.")
        for old, new in inner.items():
            rest = rest.replace(old, new) if "resnets" in blocks[block] else rest
        found[f"{blocks[block]}.{rest}"] = shape
    return found


def test_the_names_of_diffusers_have_their_originals() -> None:
    named = diffusers_shapes()
    assert len(named) == len(SHAPES)
    assert {original_unet_name(name): shape for name, shape in named.items()} == SHAPES


def test_a_diffusers_folder_is_read_and_its_unet_alone_is_not(tmp_path: Path) -> None:
    file = tmp_path / DIFFUSERS_UNET
    file.parent.mkdir()
    write_empty_safetensors(file, diffusers_shapes())
    info = check_unet(tmp_path)
    assert (info.path, info.sizes, info.diffusers) == (str(tmp_path), TINY, True)
    assert unet_info(file).diffusers
    refused(file, "tensor names of diffusers", "only as a folder")


def test_a_folder_without_a_unet_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        check_unet(tmp_path)


# What is refused


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"middle_block.1": None}, "Segmind-Vega, which is a smaller SDXL"),
        ({"label_emb": None}, "a Stable Diffusion 1, 2 or XL model"),
        ({TEXT: 768, "label_emb": None}, "a Stable Diffusion 1 model"),
        ({TEXT: 1024, "label_emb": None}, "a Stable Diffusion 2 model"),
        ({TEXT: 1280}, "an SDXL refiner"),
        ({"label_emb.0.0.weight": 5632}, "a Kolors model"),
    ],
)
def test_relatives_are_named(tmp_path: Path, changes: dict[str, int | None], found: str) -> None:
    shapes = dict(SHAPES)
    for part, inputs in changes.items():
        for name in [name for name in shapes if part in name]:
            if inputs is None:
                del shapes[name]
            else:
                shapes[name] = (shapes[name][0], inputs)
    refused(saved(tmp_path, shapes), "expected an SDXL model", found)


def test_ssd_1b_is_named(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in SHAPES.items() if "middle_block.1" not in name}
    shapes["output_blocks.3.1.transformer_blocks.1.norm1.weight"] = (64,)
    refused(saved(tmp_path, shapes), "expected an SDXL model", "SSD-1B")


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        (flux_shapes(), "a Flux model"),
        ({"id_adapter.latents": (1, 4, 8)}, "PuLID weights for SDXL (v1.1)"),
        ({"lora_unet_input_blocks_4_1_proj_in.lora_down.weight": (4, 8)}, "a LoRA"),
    ],
)
def test_other_files_are_named(tmp_path: Path, shapes: Shapes, found: str) -> None:
    refused(saved(tmp_path, shapes), "expected an SDXL model", found)


@pytest.mark.parametrize(
    "missing",
    [
        "time_embed.2.bias",
        "input_blocks.0.0.bias",
        "input_blocks.6.0.op.weight",
        "input_blocks.8.1.transformer_blocks.1.attn2.to_v.weight",
        "output_blocks.2.2.conv.weight",
        "output_blocks.8.0.skip_connection.weight",
        "middle_block.1.proj_in.weight",
        "out.2.weight",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, missing: str) -> None:
    shapes = {name: shape for name, shape in SHAPES.items() if name != missing}
    refused(saved(tmp_path, shapes), f"incomplete SDXL model: {missing} is missing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out.2.weight": (3, 32, 3, 3)}, "expected out.2.weight of shape (4, 32, 3, 3)"),
        ({"label_emb.0.0.weight": (128, 2000)}, "expected a vector of width 2816, found 2000"),
        (
            {"input_blocks.4.1.transformer_blocks.100.norm1.bias": (64,)},
            "expected 1 to 100 transformer blocks in input_blocks.4.1, found 101",
        ),
        ({"input_blocks.9.0.op.weight": (64, 64, 3, 3)}, "found 'input_blocks.9.0.op.weight'"),
        ({"time_embed.cond_proj.weight": (32, 8)}, "which none has"),
    ],
)
def test_misshaped_and_further_tensors_are_named(
    tmp_path: Path, changes: Shapes, message: str
) -> None:
    refused(saved(tmp_path, SHAPES | changes), message)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (UnetSizes(model_channels=48, depths=(1, 1)), "a multiple of 32, found 48"),
        (UnetSizes(32, (1, 1), in_channels=5), "4 or 9 or 8 input channels, found 5"),
    ],
)
def test_sizes_that_the_engine_cannot_run_are_refused(
    tmp_path: Path, sizes: UnetSizes, message: str
) -> None:
    refused(saved(tmp_path, dict(unet_tensor_shapes(sizes))), message)


def test_another_prefix_is_refused_by_name(tmp_path: Path) -> None:
    shapes = {f"net.{name}": shape for name, shape in SHAPES.items()}
    refused(saved(tmp_path, shapes), "tensors begin with 'net.'", "model.diffusion_model.")


def test_numbers_that_the_engine_cannot_read_are_refused(tmp_path: Path) -> None:
    path = write_empty_safetensors(tmp_path / "x.safetensors", SHAPES, "I64")
    refused(path, "is of type i64, which the engine cannot read")
