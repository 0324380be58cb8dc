"""Stand-ins of SDXL: real names and shapes, what depends on what, the same bytes every time."""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path

import pytest
import torch

from definition import autoencoder_kl, clip_l, taef1
from definition.tensor_files import dequantized, read_gguf, read_safetensors, row_major_shape
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standin import UnetShape, make_sdxl_standin_weights
from standin.clip_g import clip_g_tensors
from standin.random_values import normal
from standin.sdxl_pulid import (
    mlp_encoder_tensors,
    renamed,
    sdxl_idformer_tensors,
    sdxl_pulid_tensors,
)
from standin.unet import attention_modules, unet_tensors

PUBLISHED = UnetShape(320, (2, 10))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_sdxl_standin_weights(tmp_path_factory.mktemp("standin"), depths=(1, 1))


def _shapes(specs: list[TensorSpec]) -> dict[str, tuple[int, ...]]:
    shapes = {spec.name: spec.shape for spec in specs}
    assert len(shapes) == len(specs)
    return shapes


def test_a_file_for_every_role(files: dict[str, Path]) -> None:
    assert set(files) == {"unet-f16", "pulid-v1", "pulid-v1.1", "taesd", "vae", "clip_l", "clip_g"}
    assert all(path.stat().st_size > 0 for path in files.values())


def test_unet_has_the_tensors_and_parameters_of_the_published_model() -> None:
    shapes = _shapes(unet_tensors(PUBLISHED, 0))
    assert len(shapes) == 1680
    # As diffusers counts stabilityai/stable-diffusion-xl-base-1.0.
    assert sum(math.prod(shape) for shape in shapes.values()) == 2_567_463_684
    written_out = {
        "time_embed.0.weight": (1280, 320),
        "label_emb.0.0.weight": (1280, 2816),
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "input_blocks.4.0.in_layers.2.weight": (640, 320, 3, 3),
        "input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
        "input_blocks.4.1.proj_in.weight": (640, 640),
        "input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight": (640, 2048),
        "input_blocks.8.1.transformer_blocks.9.attn1.to_k.weight": (1280, 1280),
        "input_blocks.8.1.transformer_blocks.9.ff.net.0.proj.weight": (10240, 1280),
        "input_blocks.8.1.transformer_blocks.9.ff.net.2.weight": (1280, 5120),
        "middle_block.1.transformer_blocks.9.attn2.to_out.0.bias": (1280,),
        "middle_block.2.emb_layers.1.weight": (1280, 1280),
        "output_blocks.0.0.in_layers.2.weight": (1280, 2560, 3, 3),
        "output_blocks.2.0.in_layers.0.weight": (1920,),
        "output_blocks.2.2.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.5.0.in_layers.2.weight": (640, 960, 3, 3),
        "output_blocks.5.2.conv.bias": (640,),
        "output_blocks.8.0.skip_connection.weight": (320, 640, 1, 1),
        "out.2.weight": (4, 320, 3, 3),
    }
    assert {name: shapes[name] for name in written_out} == written_out
    assert "output_blocks.8.1.norm.weight" not in shapes


def test_layers_are_numbered_down_up_middle() -> None:
    """The table that the published weights follow, written out."""
    blocks = [
        ("input_blocks.4.1", 640, 2),
        ("input_blocks.5.1", 640, 2),
        ("input_blocks.7.1", 1280, 10),
        ("input_blocks.8.1", 1280, 10),
        ("output_blocks.0.1", 1280, 10),
        ("output_blocks.1.1", 1280, 10),
        ("output_blocks.2.1", 1280, 10),
        ("output_blocks.3.1", 640, 2),
        ("output_blocks.4.1", 640, 2),
        ("output_blocks.5.1", 640, 2),
        ("middle_block.1", 1280, 10),
    ]
    expected = [
        (f"{block}.transformer_blocks.{b}.attn2", width)
        for block, width, depth in blocks
        for b in range(depth)
    ]
    found = attention_modules(PUBLISHED)
    assert [(module, width) for _, module, width in found] == expected
    assert [index for index, _, _ in found] == list(range(1, 140, 2))
    names = {spec.name for spec in unet_tensors(PUBLISHED, 0)}
    assert all(f"{module}.to_q.weight" in names for _, module, _ in found)
    assert len(attention_modules(UnetShape())) == 28


def test_pulid_files_have_the_published_tensors() -> None:
    layers = _shapes(sdxl_pulid_tensors(PUBLISHED, 0, id_dim=2048))
    assert sum(math.prod(shape) for shape in layers.values()) == 340_787_200
    assert layers["id_adapter_attn_layers.1.id_to_k.weight"] == (640, 2048)
    assert layers["id_adapter_attn_layers.139.id_to_v.weight"] == (1280, 2048)
    mlp = mlp_encoder_tensors(id_dim=16, hidden=8)
    assert len(mlp) == 110
    assert mlp["id_adapter.body.0.weight"].shape == (8, 512 + 48)
    assert mlp["id_adapter.body.6.weight"].shape == (5 * 16, 8)
    assert mlp["id_adapter.mapping_patch_4.0.weight"].shape == (8, 128)
    assert mlp["id_adapter.mapping_4.6.bias"].shape == (16,)
    assert len(_shapes(sdxl_pulid_tensors(PUBLISHED, 0, mlp))) == 250
    idformer = sdxl_idformer_tensors()
    assert len(idformer) == 172
    assert idformer["id_adapter.latents"].shape == (1, 32, 128)
    assert len(_shapes(sdxl_pulid_tensors(PUBLISHED, 0, idformer))) == 312


def test_renamed_files_hold_the_same_under_other_names(files: dict[str, Path]) -> None:
    specs = sdxl_pulid_tensors(UnetShape(depths=(1, 1)), 0, mlp_encoder_tensors())
    names = {spec.name: other.name for spec, other in zip(specs, renamed(specs), strict=True)}
    assert names["id_adapter_attn_layers.3.id_to_k.weight"] == "ip_adapter.3.to_k_ip.weight"
    assert names["id_adapter_attn_layers.3.id_to_v.weight"] == "ip_adapter.3.to_v_ip.weight"
    assert names["id_adapter.mapping_patch_4.6.bias"] == "image_proj.mapping_patch_4.6.bias"
    assert set(read_safetensors(files["pulid-v1"])) == set(names.values())
    original = read_safetensors(files["pulid-v1.1"])
    assert "id_adapter.latents" in original
    assert "id_adapter_attn_layers.1.id_to_k.weight" in original


@pytest.mark.parametrize(
    ("dtype", "matrix", "time"),
    [("f32", "f32", "f32"), ("f16", "f16", "f16"), ("q8_0",) * 2 + ("f16",)],
)
def test_types_of_a_unet(dtype: str, matrix: str, time: str) -> None:
    types = {spec.name: spec.dtype for spec in unet_tensors(UnetShape(), 0, dtype)}
    assert types["input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"] == matrix
    assert types["input_blocks.4.0.emb_layers.1.weight"] == matrix
    assert types["label_emb.0.0.weight"] == types["time_embed.2.weight"] == time
    assert types["input_blocks.0.0.weight"] == "f16"
    assert types["out.0.weight"] == types["input_blocks.0.0.bias"] == "f32"


def test_the_first_convolution_carries_the_latent_both_ways(files: dict[str, Path]) -> None:
    weight = dequantized(read_gguf(files["unet-f16"])["input_blocks.0.0.weight"])
    for i in range(4):
        assert weight[i, i, 1, 1] == 1
        assert weight[i + 4, i, 1, 1] == -1
        assert abs(weight[i, i]).sum() == 1


def test_clip_g_has_the_real_names_and_shapes(files: dict[str, Path]) -> None:
    tensors = read_gguf(files["clip_g"])
    shapes = {name: row_major_shape(tensor) for name, tensor in tensors.items()}
    assert len(shapes) == 2 + 2 * 16 + 2 + 1
    assert shapes["text_model.embeddings.token_embedding.weight"] == (49408, 1280)
    assert shapes["text_model.embeddings.position_embedding.weight"] == (77, 1280)
    assert shapes["text_model.encoder.layers.1.mlp.fc1.weight"] == (5120, 1280)
    assert shapes["text_model.encoder.layers.1.mlp.fc2.weight"] == (1280, 5120)
    assert shapes["text_projection.weight"] == (1280, 1280)
    assert not dequantized(tensors["text_model.encoder.layers.1.self_attn.q_proj.weight"]).any()
    assert len(_shapes(clip_g_tensors(0, 32))) == 2 + 32 * 16 + 2 + 1
    with pytest.raises(ValueError, match="layers 1"):
        clip_g_tensors(0, 1)


def test_clip_g_tells_prompts_apart(files: dict[str, Path]) -> None:
    tensors = read_gguf(files["clip_g"])
    prompts = [[320, 1125, 539], [320, 1125, 540], [1125, 320, 539], []]
    vectors = [clip_l.pooled(tensors, ids, layers=1) for ids in prompts]
    assert vectors[0].shape == (1280,)
    for a, b in itertools.combinations(vectors, 2):
        assert (a - b).square().mean().sqrt() > 0.1


def test_autoencoders_of_four_channels_paint_visible_pictures(files: dict[str, Path]) -> None:
    latent = torch.from_numpy(normal(9, "latent", (4, 8, 12)))
    tiny = taef1.decode(read_safetensors(files["taesd"]), latent)
    assert tiny.shape == (3, 64, 96)
    assert 0.05 < tiny.std() < 0.3
    assert 0.4 < tiny.mean() < 0.6
    weights = read_safetensors(files["vae"])
    assert weights["post_quant_conv.weight"].shape == (4, 4, 1, 1)
    picture = autoencoder_kl.decode(weights, latent)
    assert picture.shape == (3, 64, 96)
    assert 0.2 < picture.std() < 0.7
    assert abs(picture.mean()) < 0.1


def test_same_seed_same_bytes_other_seed_other_bytes(
    files: dict[str, Path], tmp_path: Path
) -> None:
    again = make_sdxl_standin_weights(tmp_path / "again", depths=(1, 1))
    other = make_sdxl_standin_weights(tmp_path / "other", depths=(1, 1), seed=1)
    for role in files:
        digests = [hashlib.sha256(s[role].read_bytes()).digest() for s in (files, again, other)]
        assert digests[0] == digests[1], role
        assert digests[0] != digests[2], role
    before = {role: path.stat().st_mtime_ns for role, path in again.items()}
    same = make_sdxl_standin_weights(tmp_path / "again", depths=(1, 1))
    assert {role: path.stat().st_mtime_ns for role, path in same.items()} == before


def test_a_checkpoint_holds_all_parts(tmp_path: Path) -> None:
    path = make_sdxl_standin_weights(
        tmp_path, depths=(1, 1), unet_types=("q8_0",), checkpoint=True
    )["checkpoint"]
    names = set(read_gguf(path))
    assert {
        "model.diffusion_model.input_blocks.0.0.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight",
        "cond_stage_model.1.transformer.text_model.encoder.layers.1.mlp.fc1.weight",
        "cond_stage_model.1.transformer.text_model.text_projection",
        "first_stage_model.decoder.conv_in.weight",
        "first_stage_model.post_quant_conv.weight",
    } <= names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 48}, "multiple of 32"),
        ({"depths": (0, 2)}, "expected 1 or more"),
        ({"unet_types": ("q3_k",)}, "q3_k"),
        ({"unet_types": ()}, "expected some of"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_parameters_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_sdxl_standin_weights(tmp_path / "none", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()
