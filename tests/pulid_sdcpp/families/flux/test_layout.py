"""The sizes of Flux models, and models that the engine could not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import flux_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.flux.layout import check_diffusion_model, flux_info


@pytest.fixture
def save(tmp_path):
    def save_shapes(shapes: dict, dtype: str = "F16") -> Path:
        return write_empty_safetensors(tmp_path / "flux.safetensors", shapes, dtype)

    return save_shapes


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        check_diffusion_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize(
    ("depth", "depth_single", "hidden", "guidance"),
    [(1, 1, 128, False), (3, 5, 384, True), (19, 38, 128, True)],
)
def test_sizes_are_read_from_the_header(save, prefix, depth, depth_single, hidden, guidance):
    shapes = flux_shapes(depth, depth_single, hidden, guidance=guidance)
    path = save({prefix + name: shape for name, shape in shapes.items()})
    info = check_diffusion_model(path)
    assert info == flux_info(path)
    assert (info.depth, info.depth_single, info.hidden_size) == (depth, depth_single, hidden)
    assert info.guidance_embed is guidance
    assert (info.head_dim, info.context_in_dim, info.vec_in_dim) == (128, 4096, 768)
    assert (info.in_channels, info.variant) == (64, "")
    assert info.dtypes == {"f16": len(shapes)}
    assert not info.diffusers


def test_a_quantized_gguf_is_read(tmp_path):
    gguf = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    path = tmp_path / "flux.gguf"
    writer = gguf.GGUFWriter(path, "flux")
    for name, shape in flux_shapes(2, 3, 256).items():
        if len(shape) == 2 and shape[1] % 256 == 0:
            kind = gguf.GGMLQuantizationType.Q4_K
            raw = np.zeros((shape[0], shape[1] // 256 * 144), np.uint8)
            writer.add_tensor(name, raw, raw_dtype=kind)
        else:
            writer.add_tensor(name, np.zeros(shape, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    info = check_diffusion_model(path)
    assert (info.depth, info.depth_single, info.hidden_size) == (2, 3, 256)
    assert set(info.dtypes) == {"f16", "q4_k"}


def test_other_parts_of_a_checkpoint_do_not_disturb(save):
    shapes = {f"model.diffusion_model.{k}": v for k, v in flux_shapes(2, 2).items()}
    shapes["vae.decoder.conv_in.weight"] = (8, 16, 3, 3)
    shapes["text_encoders.t5xxl.transformer.shared.weight"] = (10, 10)
    info = check_diffusion_model(save(shapes))
    assert (info.depth, sum(info.dtypes.values())) == (2, len(flux_shapes(2, 2)))


@pytest.mark.parametrize(
    ("channels", "variant"), [(384, "Fill"), (128, "Control"), (196, "Flex.2")]
)
def test_members_of_the_family_are_told_apart(save, channels, variant):
    assert check_diffusion_model(save(flux_shapes(channels=channels))).variant == variant


def test_diffusers_names_are_recognised_and_refused_for_the_engine(save):
    shapes = {
        "x_embedder.weight": (256, 64),
        "context_embedder.weight": (256, 4096),
        "time_text_embed.text_embedder.linear_1.weight": (256, 768),
        "time_text_embed.guidance_embedder.linear_1.weight": (256, 256),
        "transformer_blocks.0.attn.norm_q.weight": (128,),
        "transformer_blocks.1.attn.norm_q.weight": (128,),
        "single_transformer_blocks.4.attn.norm_q.weight": (128,),
    }
    path = save(shapes)
    info = flux_info(path)
    assert (info.depth, info.depth_single, info.hidden_size) == (2, 5, 256)
    assert info.guidance_embed
    assert info.diffusers
    refused(path, "diffusers", "gguf")


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ({"distilled_guidance_layer.in_proj.weight": (4, 4)} | flux_shapes(), "a Chroma model"),
        ({"double_stream_modulation_img.lin.weight": (4, 4)} | flux_shapes(), "a FLUX.2 model"),
        ({"joint_blocks.0.x_block.attn.qkv.weight": (4, 4)}, "a Stable Diffusion 3 model"),
        (
            {"model.diffusion_model.input_blocks.0.0.weight": (4, 4, 3, 3)},
            "a Stable Diffusion 1, 2 or XL model",
        ),
        ({"pulid_ca.0.to_q.weight": (128, 128)}, "PuLID weights for Flux"),
        ({"id_adapter_attn_layers.0.id_to_k.weight": (8, 8)}, "PuLID weights for SDXL"),
        ({"decoder.conv_in.weight": (8, 16, 3, 3)}, "a Flux autoencoder"),
        (
            {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 8)},
            "found a LoRA",
        ),
        ({"something": (1,)}, "tensors of an unknown model"),
    ],
)
def test_other_models_are_named(save, shapes, found):
    refused(save(shapes), "expected a Flux model", found)


@pytest.mark.parametrize(
    "missing",
    [
        "img_in.weight",
        "img_in.bias",
        "txt_in.weight",
        "vector_in.out_layer.weight",
        "guidance_in.out_layer.bias",
        "double_blocks.0.img_attn.norm.query_norm.scale",
        "double_blocks.1.txt_mlp.2.weight",
        "single_blocks.0.linear1.weight",
        "single_blocks.2.norm.key_norm.scale",
        "final_layer.adaLN_modulation.1.bias",
    ],
)
def test_a_missing_tensor_is_named(save, missing):
    shapes = flux_shapes(2, 3, guidance=True)
    del shapes[missing]
    refused(save(shapes), f"{missing} is missing")


def test_a_gap_in_the_blocks_is_named(save):
    shapes = flux_shapes(3, 2)
    for name in [name for name in shapes if name.startswith("double_blocks.1.")]:
        del shapes[name]
    refused(save(shapes), "double_blocks.1.", "is missing")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"single_blocks.0.linear1.weight": (128, 128)}, ["(896, 128)", "(128, 128)"]),
        ({"double_blocks.0.img_mlp.0.bias": (128,)}, ["(512,)", "(128,)"]),
        ({"txt_in.weight": (4096,)}, ["to be a matrix"]),
        ({"txt_in.weight": (0, 4096)}, ["is empty"]),
        ({"img_in.weight": (128, 65)}, ["64 input channels, found 65"]),
        ({"double_blocks.0.img_attn.norm.query_norm.scale": (1, 128)}, ["to be a vector"]),
        ({"single_blocks.900000000.linear1.weight": (1,)}, ["900000001", "limit"]),
    ],
)
def test_misshaped_tensors_are_named(save, changes, words):
    refused(save(flux_shapes() | changes), *words)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"head_dim": 64}, ["heads of width 128, found 64"]),
        ({"vector": 512}, ["CLIP embedding of width 768, found 512"]),
        ({"context": 1024}, ["T5 embedding of width 4096, found 1024"]),
        ({"hidden": 192}, ["multiple of 128, found 192"]),
        ({"depth_single": 0}, ["no single blocks"]),
    ],
)
def test_sizes_the_engine_does_not_support_are_named(save, sizes, words):
    refused(save(flux_shapes(**sizes)), *words)


def test_integer_weights_are_refused(save):
    refused(save(flux_shapes(), "I64"), "i64", "cannot read")


def test_a_truncated_model_is_refused(save):
    path = save(flux_shapes())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    refused(path, "truncated")


def test_no_file_and_a_folder_are_refused(tmp_path):
    refused(tmp_path / "missing.gguf", "no such file (expected a Flux model)")
    refused(tmp_path, "found a folder")
