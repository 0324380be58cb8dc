"""Checkpoints as people have them: what is in them, what is missing, what is too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import draft_safetensors, flux_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.flux.layout import check_diffusion_model
from pulid_sdcpp.model_files import engine_checks as engine_files
from pulid_sdcpp.model_files.description import describe_file
from pulid_sdcpp.model_files.engine_checks import check_engine_files

PREFIX = "model.diffusion_model."
FLUX = flux_shapes()
PREFIXED = {PREFIX + name: shape for name, shape in FLUX.items()}
TWO = flux_shapes(2, 1)  # a file without any such block would be of an unknown model
CLIP = {"text_encoders.clip_l.transformer.text_model.final_layer_norm.weight": (768,)}
VAE = {"vae.decoder.conv_in.weight": (512, 16, 3, 3)}

Shapes = dict[str, tuple[int, ...]]


def saved(folder: Path, shapes: Shapes) -> Path:
    return write_empty_safetensors(folder / "flux.safetensors", shapes)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (PREFIXED, r"no text encoder is given in .*: name clip_l_path, t5xxl_path or both"),
        (PREFIXED | VAE, r"no text encoder is given in"),  # ended the process
        (PREFIXED | CLIP, r"no autoencoder is given in .*: name vae_path or taesd_path"),
    ],
)
def test_a_full_checkpoint_without_a_part_is_refused(
    tmp_path: Path, shapes: Shapes, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        check_engine_files({"model_path": str(saved(tmp_path, shapes))}, needs=None)


def test_a_full_checkpoint_may_have_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_files, "check_not_hollow", lambda *args: None)  # of zeros only
    path = str(saved(tmp_path, PREFIXED | CLIP | VAE))
    assert check_engine_files({"model_path": path}, needs="flux")


def test_a_diffusion_model_alone_is_no_full_checkpoint(tmp_path: Path) -> None:
    path = str(saved(tmp_path, FLUX))
    with pytest.raises(
        ModelFileError, match=r"a diffusion model alone; give it as diffusion_model"
    ):
        check_engine_files({"model_path": path}, needs=None)


@pytest.mark.parametrize(
    "extra",
    [
        {"connector.proj.weight": (8, 8)},
        {"double_blocks.0.img_attn.gate.weight": (8, 8), "single_blocks.0.x": (1,)},
        {"double_blocks.00.img_attn.proj.bias": (8,)},
        {"guidance_in.out_layer.bias": (128,)},  # dev without the layer by which it is told
    ],
)
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_what_no_flux_has_is_refused(tmp_path: Path, prefix: str, extra: Shapes) -> None:
    shapes = {prefix + name: shape for name, shape in (FLUX | extra).items()}
    with pytest.raises(ModelFileError, match=r"expected a Flux model, found .*, which none has"):
        check_diffusion_model(saved(tmp_path, shapes))


def test_notes_and_other_parts_beside_flux_are_not(tmp_path: Path) -> None:
    marks: Shapes = {"scaled_fp8": (2,), "double_blocks.0.img_mod.lin.scale_input": (), "x": (3,)}
    check_diffusion_model(saved(tmp_path, FLUX | VAE | CLIP | marks))


def test_a_tensor_with_and_without_prefix_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, PREFIXED | {"img_in.bias": (128,)})
    with pytest.raises(ModelFileError, match=r"'img_in.bias' is in it twice, with and without"):
        check_diffusion_model(path)


@pytest.mark.parametrize("missing", sorted({name.rsplit(".", 1)[0] for name in TWO}))
def test_every_missing_tensor_is_named(tmp_path: Path, missing: str) -> None:
    shapes = {name: shape for name, shape in TWO.items() if name != f"{missing}.weight"}
    shapes.pop(f"{missing}.scale", None)
    with pytest.raises(ModelFileError, match=missing.replace(".", r"\.")):
        check_diffusion_model(saved(tmp_path, shapes))


def test_a_controlnet_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, FLUX | {"controlnet_blocks.0.weight": (8, 8)})
    assert describe_file(path).kind == "controlnet"
    with pytest.raises(ModelFileError, match="expected a Flux model, found a ControlNet"):
        check_diffusion_model(path)


@pytest.mark.parametrize("dtype", ["F8_E4M3FNUZ", "F4"])
def test_a_type_that_cannot_be_read_is_no_damage(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "x.safetensors"
    entry = {"dtype": dtype, "shape": [2], "data_offsets": [0, 2]}
    path.write_bytes(draft_safetensors({"img_in.weight": entry}, b"12"))
    with pytest.raises(ModelFileError, match=f"is of type {dtype}, which cannot be read; use a"):
        check_diffusion_model(path)
