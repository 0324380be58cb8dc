"""What files are said to be, and wrong files refused by what they are."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from file_drafts import (
    draft_gguf,
    flux_shapes,
    pulid_shapes,
    string,
    write_empty_safetensors,
)
from pulid_sdcpp.errors import IdentityFileError, ModelFileError
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.model_files.description import (
    check_lora,
    check_tae,
    check_text_encoder,
    check_vae,
    describe_file,
)
from pulid_sdcpp.system.file_signature import signature
from pulid_sdcpp.tensors.sdxl_pulid_names import renamed

CLIP_L = {
    "text_model.embeddings.token_embedding.weight": (49408, 768),
    "text_model.encoder.layers.11.mlp.fc2.weight": (768, 3072),
}
T5 = {
    "shared.weight": (32128, 4096),
    "encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096),
    "encoder.block.23.layer.1.DenseReluDense.wo.weight": (4096, 10240),
}
T5_GGUF_NAMES = {
    "token_embd.weight": (32128, 4096),
    "enc.blk.0.attn_q.weight": (4096, 4096),
    "enc.blk.23.ffn_down.weight": (4096, 10240),
}
VAE = {"decoder.conv_in.weight": (512, 16, 3, 3), "decoder.conv_out.weight": (3, 128, 3, 3)}
TAE = {"decoder.layers.0.weight": (64, 16, 3, 3), "decoder.layers.18.weight": (3, 64, 3, 3)}
LORA = {
    "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (16, 128),
    "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": (384, 16),
    "lora_unet_double_blocks_0_img_attn_qkv.alpha": (),
}
UNET_TEXT = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
SDXL = {
    "input_blocks.0.0.weight": (32, 4, 3, 3),
    UNET_TEXT: (64, 2048),
    "label_emb.0.0.weight": (128, 2816),
    "middle_block.1.norm.weight": (128,),
}
SMALLER_SDXL = {name: shape for name, shape in SDXL.items() if not name.startswith("middle")}


@pytest.fixture
def save(tmp_path):
    def save_shapes(shapes: dict) -> Path:
        return write_empty_safetensors(tmp_path / "model.safetensors", shapes)

    return save_shapes


# What a file is


@pytest.mark.parametrize(
    ("shapes", "kind", "summary"),
    [
        (flux_shapes(2, 3), "flux", "without guidance (schnell): 2 double and 3 single blocks"),
        (flux_shapes(guidance=True), "flux", "guidance-distilled (dev)"),
        (flux_shapes(channels=384), "flux", "a Flux model Fill"),
        (pulid_shapes(3), "pulid-flux", "3 identity layers of 2 heads, without the encoder"),
        ({"controlnet_down_blocks.0.weight": (8, 8, 1, 1)} | SDXL, "controlnet", "a ControlNet"),
        (SDXL | {"label_emb.0.0.weight": (128, 5632)}, "unet", "a Kolors model"),
        (SDXL | {UNET_TEXT: (64, 1280)}, "unet", "an SDXL refiner"),
        (SMALLER_SDXL, "unet", "Segmind-Vega"),
        (
            SMALLER_SDXL | {"output_blocks.3.1.transformer_blocks.1.norm1.weight": (64,)},
            "unet",
            "SSD-1B",
        ),
        (
            {"input_blocks.0.0.weight": (32, 4, 3, 3), UNET_TEXT: (64, 768)},
            "unet",
            "a Stable Diffusion 1 model",
        ),
        (
            {"input_blocks.0.0.weight": (32, 4, 3, 3), UNET_TEXT: (64, 1024)},
            "unet",
            "a Stable Diffusion 2 model",
        ),
        (
            SDXL | {"input_blocks.8.0.time_mixer.mix_factor": (1,)},
            "unet",
            "a Stable Video Diffusion model",
        ),
        ({"ip_adapter.1.to_k_ip.weight": (8, 8)}, "ip-adapter", "an IP-Adapter"),
        (CLIP_L, "clip-l", "a CLIP-L text encoder"),
        (
            {"text_model.embeddings.token_embedding.weight": (49408, 1280)},
            "clip-g",
            "a CLIP-G text encoder",
        ),
        (T5, "t5xxl", "a T5-XXL text encoder"),
        (T5_GGUF_NAMES, "t5xxl", "a T5-XXL text encoder"),
        (T5 | {"shared.weight": (256384, 4096)}, "umt5xxl", "UMT5-XXL"),
        (T5 | {"shared.weight": (32128, 768)}, "t5", "width 768"),
        (VAE, "vae", "a Flux autoencoder (VAE)"),
        (VAE | {"decoder.conv_in.weight": (512, 4, 3, 3)}, "vae", "with 4 latent channels"),
        ({f"first_stage_model.{k}": v for k, v in VAE.items()}, "vae", "a Flux autoencoder"),
        (TAE, "tae", "a tiny Flux autoencoder (TAEF1)"),
        (TAE | {"decoder.layers.0.weight": (64, 4, 3, 3)}, "tae", "with 4 latent channels"),
        (LORA, "lora", "a LoRA"),
        ({"transformer.blocks.0.lora_A.weight": (4, 8)}, "lora", "a LoRA"),
        ({"visual.blocks.0.attn.q_bias": (8,)}, "eva-clip", "an EVA-CLIP vision model"),
        ({"blocks.0.attn.q_proj.weight": (8, 8)}, "eva-clip", "an EVA-CLIP vision model"),
        ({"model.layers.0.self_attn.q_proj.weight": (8, 8)}, "llm", "a language model"),
        ({"x.proj.a1.weight": (4, 8)}, "lora", "a LoRA"),
        ({"whatever": (3,)}, "unknown-tensors", "unknown model"),
    ],
)
def test_files_are_recognised_by_their_tensors(save, shapes, kind, summary):
    path = save(shapes)
    info = describe_file(path)
    assert info.kind == kind
    assert summary in info.summary
    assert info.path == str(path)
    assert info.format == "safetensors"
    assert info.size_bytes == path.stat().st_size
    assert {tensor.name: tensor.shape for tensor in info.tensors} == shapes
    assert info.details["tensors"] == len(shapes)


@pytest.mark.parametrize(
    ("spelling", "encoder", "said"),
    [
        (str, {"id_adapter.latents": (1, 4, 8)}, "PuLID v1.1 weights for an SDXL of 2 cross-"),
        (str, {"id_adapter.body.0.weight": (8, 8)}, "PuLID v1 weights for an SDXL"),
        (renamed, {"id_adapter.body.0.weight": (8, 8)}, "PuLID v1 weights for an SDXL"),
        (str, {}, "cross-attentions, 64 and 128 wide, without the encoder"),
    ],
)
def test_pulid_weights_for_sdxl_have_their_version_and_layers(save, spelling, encoder, said):
    shapes = dict(encoder)
    for index, width in ((1, 64), (3, 128)):
        for part in "kv":
            shapes[f"id_adapter_attn_layers.{index}.id_to_{part}.weight"] = (width, 32)
    info = describe_file(save({spelling(name): shape for name, shape in shapes.items()}))
    assert info.kind == "pulid-sdxl"
    assert said in info.summary
    assert info.details["identity layers"] == 2
    assert info.details["identity token width"] == 32
    assert info.details["encoder"] is bool(encoder)


@pytest.mark.parametrize(
    ("channels", "said"), [(4, "an SDXL model: 32"), (9, "an SDXL model for inpainting: 32")]
)
def test_an_sdxl_model_has_its_sizes_and_parts(save, channels, said):
    unet = unet_tensor_shapes(UnetSizes(32, (1, 2), in_channels=channels))
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in unet}
    shapes["conditioner.embedders.0.transformer.text_model.final_layer_norm.weight"] = (768,)
    shapes["conditioner.embedders.1.model.ln_final.weight"] = (1280,)
    shapes["first_stage_model.decoder.conv_in.weight"] = (8, 4, 3, 3)
    info = describe_file(save(shapes))
    assert info.kind == "sdxl"
    assert info.summary == f"{said} channels, 1 and 2 transformer blocks, 17 cross-attentions"
    assert info.details["channels"] == (32, 64, 128)
    assert info.details["text width"] == 2048
    assert info.details["also holds"] == "an autoencoder, CLIP-L, CLIP-G"


def test_a_flux_model_has_its_sizes_in_the_details(save):
    details = describe_file(save(flux_shapes(2, 3, 256))).details
    assert details["double blocks"] == 2
    assert details["single blocks"] == 3
    assert details["width"] == 256
    assert details["types"] == f"f16 x {len(flux_shapes(2, 3))}"


def test_the_parts_of_a_checkpoint_are_listed(save):
    shapes = {f"model.diffusion_model.{k}": v for k, v in flux_shapes().items()}
    shapes |= {f"vae.{k}": v for k, v in VAE.items()}
    shapes["text_encoders.clip_l.transformer.text_model.final_layer_norm.weight"] = (768,)
    details = describe_file(save(shapes)).details
    assert details["also holds"] == "an autoencoder, CLIP-L"


def test_a_lora_has_its_rank_and_model(save):
    details = describe_file(save(LORA)).details
    assert details["ranks"] == "16"
    assert details["made for"] == "Flux"


def test_an_identity_has_its_hash_and_metadata(tmp_path):
    path = tmp_path / "alice.pulidembd"
    identity = Identity.from_array(np.ones((2, 4)), np.full((2, 4), 2), created="now\x1b[31m")
    identity.save(path)
    info = describe_file(path)
    assert info.kind == "identity"
    assert identity.short_hash in info.summary
    assert info.details["sha256"] == identity.sha256
    assert info.details["shape"] == (2, 4)
    assert info.details["unconditional identity"] is True
    assert info.metadata["pulid.created"] == "now\\x1b[31m"
    assert info.metadata["pulid.version"] == 1


def test_a_damaged_identity_is_refused_as_one(tmp_path):
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(np.ones((2, 4))).save(path, "f32")
    path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\xff")
    with pytest.raises(IdentityFileError, match="NaN"):
        describe_file(path)


def test_long_metadata_is_cut(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(draft_gguf({"general.name": string("a" * 5000)}, [], b""))
    value = describe_file(path).metadata["general.name"]
    assert isinstance(value, str)
    assert len(value) == 201


def test_torch_checkpoints_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("a pickle was run",))

    old = tmp_path / "old.pth"
    old.write_bytes(pickle.dumps(Trap(), protocol=2))
    new = tmp_path / "new.pt"
    with zipfile.ZipFile(new, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap()))
    for path in (old, new):
        info = describe_file(path)
        assert info.kind == "torch-checkpoint"
        assert info.summary == "torch checkpoint (not opened)"
        assert info.tensors == ()


def test_onnx_models_are_not_opened(tmp_path):
    path = tmp_path / "scrfd.onnx"
    path.write_bytes(b"\x08\x06\x12\x07pytorch" + bytes(100))
    assert describe_file(path).kind == "onnx"


def test_files_that_are_no_models_are_refused_by_what_they_are(tmp_path):
    path = tmp_path / "file"
    for content, words in [
        (b"", "an empty file"),
        (b"words\n", "a text file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG picture"),
        (b"PK\x03\x04" + bytes(50), "a damaged zip archive"),
        (b"<html>404", "an HTML page"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=words):
            describe_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.png", b"")
    with pytest.raises(ModelFileError, match="a zip archive"):
        describe_file(path)
    with pytest.raises(ModelFileError, match="no such file"):
        describe_file(tmp_path / "missing")
    with pytest.raises(ModelFileError, match="a folder"):
        describe_file(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device files")
def test_a_device_is_refused_and_not_waited_for():
    with pytest.raises(ModelFileError, match="found a device"):
        describe_file("/dev/zero")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "a WebP picture"),
        (b"GIF89a", "a GIF picture"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\x7fELF\x02", "a program or library"),
        (b"", "unrecognised content"),
        (b"\x00\x01\x02", "unrecognised content"),
        ("größe\n".encode("latin-1"), "unrecognised content"),
    ],
)
def test_signatures(head, words):
    assert signature(head) == words


# Roles


@pytest.mark.parametrize(
    ("check", "shapes"),
    [
        (lambda path: check_text_encoder(path, "clip-l"), CLIP_L),
        (lambda path: check_text_encoder(path, "t5xxl"), T5),
        (lambda path: check_text_encoder(path, "t5xxl"), T5_GGUF_NAMES),
        (check_vae, VAE),
        (check_vae, {f"vae.{k}": v for k, v in VAE.items()}),
        (check_tae, TAE),
        (check_lora, LORA),
    ],
)
def test_the_right_file_is_accepted(save, check, shapes):
    check(save(shapes))


@pytest.mark.parametrize(
    ("check", "shapes", "words"),
    [
        (lambda path: check_text_encoder(path, "clip-l"), T5, "CLIP-L.*found a T5-XXL"),
        (lambda path: check_text_encoder(path, "t5xxl"), CLIP_L, "T5-XXL.*found a CLIP-L"),
        (
            lambda path: check_text_encoder(path, "clip-l"),
            CLIP_L | {"text_model.embeddings.token_embedding.weight": (100, 768)},
            r"\(49408, 768\).*\(100, 768\)",
        ),
        (
            lambda path: check_text_encoder(path, "t5xxl"),
            {k: v for k, v in T5.items() if "23" not in k},
            "the last layer of a T5-XXL text encoder is missing",
        ),
        (check_vae, TAE, "VAE.*found a tiny Flux autoencoder"),
        (check_tae, VAE, "TAEF1.*found a Flux autoencoder"),
        (check_vae, VAE | {"decoder.conv_in.weight": (512, 4, 3, 3)}, "4 latent channels"),
        (check_vae, {"decoder.conv_in.weight": (512, 16, 3, 3)}, "last layer"),
        (check_vae, {"decoder.conv_in.weight": (512,)}, "expected a Flux autoencoder"),
        (check_tae, {"decoder.layers.0.weight": (64, 16, 3, 3)}, "last layer"),
        (check_vae, flux_shapes(), "VAE.*found a Flux model"),
        (check_lora, flux_shapes(), "LoRA.*found a Flux model"),
        (check_lora, pulid_shapes(), "LoRA.*found PuLID weights"),
    ],
)
def test_wrong_files_are_refused_by_what_they_are(save, check, shapes, words):
    path = save(shapes)
    with pytest.raises(ModelFileError, match=words) as caught:
        check(path)
    assert str(path) in str(caught.value)


def test_a_torch_checkpoint_passes_unseen_but_another_zip_does_not(tmp_path):
    path = tmp_path / "vae.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    check_vae(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.png", b"")
    with pytest.raises(ModelFileError, match="a zip archive"):
        check_vae(path)


def test_an_unknown_role_is_the_callers_mistake(save):
    with pytest.raises(ValueError, match="'clip-h'"):
        check_text_encoder(save(CLIP_L), "clip-h")


def test_a_missing_file_says_what_was_expected(tmp_path):
    with pytest.raises(ModelFileError, match=r"no such file \(expected a Flux autoencoder"):
        check_vae(tmp_path / "ae.safetensors")


def test_numpy_is_not_imported_to_read_headers():
    """Headers are read when a command starts; NumPy takes longer than they do."""
    code = "import sys, pulid_sdcpp.model_files.description; print('numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
