"""SDXL's parts: what is in a checkpoint or folder, what is missing, what is another model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import flux_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.sdxl.unet_layout import DIFFUSERS_UNET, UnetInfo
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.model_files import engine_checks
from pulid_sdcpp.model_files.engine_checks import check_engine_files
from pulid_sdcpp.model_files.sdxl_checks import is_sdxl_folder

UNET = dict(unet_tensor_shapes(UnetSizes(32, (1, 1))))
CHECKPOINT_UNET = {f"model.diffusion_model.{name}": shape for name, shape in UNET.items()}
CLIP_L = {"conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": (768,)}
CLIP_G = {"conditioner.embedders.1.model.ln_final.weight": (1280,)}
VAE = {"first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3)}
FILES = {
    "clip_l_path": {
        "text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_model.encoder.layers.11.mlp.fc2.weight": (768, 3072),
    },
    "clip_g_path": {
        "text_model.embeddings.token_embedding.weight": (49408, 1280),
        "text_projection.weight": (1280, 1280),
    },
    "vae_path": {"decoder.conv_in.weight": (8, 4, 3, 3), "decoder.conv_out.weight": (3, 8, 3, 3)},
    "taesd_path": {
        "decoder.layers.0.weight": (64, 4, 3, 3),
        "decoder.layers.18.weight": (3, 64, 3, 3),
    },
}

Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(autouse=True)
def _zeros_are_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_checks, "check_not_hollow", lambda *args: None)


def saved(folder: Path, name: str, shapes: Shapes) -> str:
    return str(write_empty_safetensors(folder / f"{name}.safetensors", shapes))


def part_files(folder: Path, *options: str) -> dict[str, str]:
    return {option: saved(folder, option, FILES[option]) for option in options}


@pytest.mark.parametrize("needs", ["sdxl", None])
def test_a_whole_checkpoint_is_taken(tmp_path: Path, needs: str | None) -> None:
    path = saved(tmp_path, "sdxl", CHECKPOINT_UNET | CLIP_L | CLIP_G | VAE)
    found = check_engine_files({"model_path": path}, needs)
    assert isinstance(found, UnetInfo)
    assert found.sizes == UnetSizes(32, (1, 1))


@pytest.mark.parametrize("autoencoder", ["vae_path", "taesd_path"])
def test_parts_may_be_files_of_their_own(tmp_path: Path, autoencoder: str) -> None:
    files = part_files(tmp_path, "clip_l_path", "clip_g_path", autoencoder)
    files["diffusion_model_path"] = saved(tmp_path, "unet", UNET)
    assert isinstance(check_engine_files(files, "sdxl"), UnetInfo)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (CLIP_G | VAE, r"first text encoder, CLIP-L, is not given in .*: name clip_l_path"),
        (CLIP_L | VAE, r"second text encoder, CLIP-G, is not given in .*: name clip_g_path"),
        (CLIP_L | CLIP_G, r"no autoencoder is given in .*: name vae_path or taesd_path"),
    ],
)
@pytest.mark.parametrize("needs", ["sdxl", None])
def test_a_checkpoint_without_a_part_is_refused(
    tmp_path: Path, parts: Shapes, says: str, needs: str | None
) -> None:
    path = saved(tmp_path, "sdxl", CHECKPOINT_UNET | parts)
    with pytest.raises(ValueError, match=says):
        check_engine_files({"model_path": path}, needs)


def test_a_unet_alone_without_clip_g_is_refused(tmp_path: Path) -> None:
    """The engine would take it for Stable Diffusion 1."""
    files = part_files(tmp_path, "clip_l_path", "vae_path")
    files["diffusion_model_path"] = saved(tmp_path, "unet", UNET)
    with pytest.raises(ValueError, match=r"CLIP-G, is not given: name clip_g_path"):
        check_engine_files(files, "sdxl")


def test_a_unet_alone_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="a UNet alone; give it as diffusion_model_path"):
        check_engine_files({"model_path": saved(tmp_path, "unet", UNET)}, "sdxl")


@pytest.mark.parametrize(
    ("option", "shapes", "says"),
    [
        ("clip_g_path", FILES["clip_l_path"], "expected a CLIP-G .* found a CLIP-L text encoder"),
        ("clip_l_path", FILES["clip_g_path"], "expected a CLIP-L .* found a CLIP-G text encoder"),
        (
            "clip_g_path",
            {"text_model.embeddings.token_embedding.weight": (49408, 1280)},
            "incomplete: the last layer of a CLIP-G",
        ),
        (
            "vae_path",
            {"decoder.conv_in.weight": (8, 16, 3, 3)},
            "expected an SDXL autoencoder .VAE., found a Flux autoencoder",
        ),
        (
            "taesd_path",
            {"decoder.layers.0.weight": (64, 16, 3, 3)},
            "expected a tiny SDXL autoencoder .TAESDXL., found a tiny Flux autoencoder",
        ),
    ],
)
def test_another_model_s_parts_are_named(
    tmp_path: Path, option: str, shapes: Shapes, says: str
) -> None:
    path = saved(tmp_path, "sdxl", CHECKPOINT_UNET | CLIP_L | CLIP_G | VAE)
    with pytest.raises(ModelFileError, match=says):
        check_engine_files({"model_path": path, option: saved(tmp_path, "part", shapes)}, "sdxl")


@pytest.mark.parametrize(
    ("shapes", "needs", "says"),
    [
        (flux_shapes(), "sdxl", "expected an SDXL model, found a Flux model"),
        (UNET, "flux", "expected a Flux model, found an SDXL model"),
        (
            {name: shape for name, shape in UNET.items() if "middle_block.1" not in name},
            "sdxl",
            "expected an SDXL model, found Segmind-Vega",
        ),
    ],
)
def test_the_other_family_is_refused_by_name(
    tmp_path: Path, shapes: Shapes, needs: str, says: str
) -> None:
    with pytest.raises(ModelFileError, match=says):
        check_engine_files({"diffusion_model_path": saved(tmp_path, "model", shapes)}, needs)


def test_a_folder_has_its_parts_in_folders(tmp_path: Path) -> None:
    shapes = {"conv_in.weight": (32, 4, 3, 3)}
    assert not is_sdxl_folder(str(tmp_path))
    file = tmp_path / DIFFUSERS_UNET
    file.parent.mkdir()
    write_empty_safetensors(file, shapes)
    assert not is_sdxl_folder(str(tmp_path))
    with pytest.raises(ModelFileError, match="expected an SDXL model, found"):
        check_engine_files({"model_path": str(tmp_path)}, "sdxl")
    write_empty_safetensors(file, UNET)
    assert is_sdxl_folder(str(tmp_path))
    with pytest.raises(ValueError, match="CLIP-L, is not given"):
        check_engine_files({"model_path": str(tmp_path)}, None)
    for folder in ("text_encoder", "text_encoder_2"):
        (tmp_path / folder).mkdir()
        write_empty_safetensors(tmp_path / folder / "model.safetensors", {"x": (1,)})
    (tmp_path / "vae").mkdir()
    write_empty_safetensors(tmp_path / "vae" / "diffusion_pytorch_model.safetensors", {"x": (1,)})
    assert isinstance(check_engine_files({"model_path": str(tmp_path)}, "sdxl"), UnetInfo)


def test_a_folder_s_files_are_checked_too(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"PK")
    with pytest.raises(ModelFileError, match=r"diffusion_pytorch_model\.safetensors"):
        check_engine_files({"model_path": str(tmp_path)}, None)
