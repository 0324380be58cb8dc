"""Files that are not here are planned as if they were: their sizes, and what memory they take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from published_shapes import (
    write_autoencoder,
    write_clip_l,
    write_flux,
    write_pulid,
    write_t5,
)
from pulid_sdcpp import ContextOptions, ModelFileError
from pulid_sdcpp.memory.parameters import model_sizes
from pulid_sdcpp.model_files.description import check_diffusion_model
from pulid_sdcpp.model_files.published_layout import named_type, published_layout
from pulid_sdcpp.store.registry import GENERATION_ROLES, load_registry
from pulid_sdcpp.system.user_config import UserConfig

# Bytes of published files, from the registry or public lists of the same repositories.
PUBLISHED = [
    ("diffusion_model", "flux1-dev-Q2_K.gguf", 4032341280),
    ("diffusion_model", "flux1-dev-Q3_K_S.gguf", 5234255136),
    ("diffusion_model", "flux1-schnell-Q4_0.gguf", 6770707360),
    ("diffusion_model", "flux1-dev-Q4_1.gguf", 7530806432),
    ("diffusion_model", "flux1-kontext-dev-Q4_K_S.gguf", 6797337888),
    ("diffusion_model", "flux1-kontext-dev-Q4_K_M.gguf", 6931817760),
    ("diffusion_model", "flux1-dev-Q5_K_S.gguf", 8285267232),
    ("diffusion_model", "flux1-kontext-dev-Q5_K_M.gguf", 8419501344),
    ("diffusion_model", "flux1-schnell-Q6_K.gguf", 9834955808),
    ("diffusion_model", "flux1-krea-dev-Q8_0.gguf", 12714452256),
    ("diffusion_model", "flux1-fill-dev.safetensors", 23804922408),
    ("diffusion_model", "flux1-dev.safetensors", 23802932552),
    ("diffusion_model", "flux1-schnell.safetensors", 23782506688),
    ("t5xxl", "t5-v1_1-xxl-encoder-Q3_K_S.gguf", 2099467456),
    ("t5xxl", "t5-v1_1-xxl-encoder-Q4_K_S.gguf", 2740000000),
    ("t5xxl", "t5-v1_1-xxl-encoder-Q4_K_M.gguf", 2896123072),
    ("t5xxl", "t5-v1_1-xxl-encoder-Q5_K_M.gguf", 3386856640),
    ("t5xxl", "t5-v1_1-xxl-encoder-Q6_K.gguf", 3908261056),
    ("t5xxl", "t5-v1_1-xxl-encoder-Q8_0.gguf", 5061584064),
    ("t5xxl", "t5xxl_fp16.safetensors", 9787841024),
    ("t5xxl", "t5xxl_fp8_e4m3fn.safetensors", 4893934904),
    ("checkpoint", "sd_xl_base_1.0.safetensors", 6938078334),
    ("checkpoint", "RealVisXL_V5.0_Lightning_fp16.safetensors", 6938065512),
    ("checkpoint", "Juggernaut-XL_v9_RunDiffusionPhoto_v2.safetensors", 7105348188),
    ("checkpoint", "sdxl_lightning_4step.q4_0.gguf", 2584858432),
    ("checkpoint", "sdxl_lightning_4step.q8_0.gguf", 4098988672),
    ("vae", "sdxl.vae.safetensors", 334641162),
    ("taesd", "taesdxl.safetensors", 9793292),
]


@pytest.mark.parametrize(("role", "name", "size_bytes"), PUBLISHED)
def test_computed_sizes_are_those_of_the_published_files(
    role: str, name: str, size_bytes: int
) -> None:
    computed = sum(tensor.nbytes for tensor in published_layout(role, name))
    print(f"{name}: {computed / size_bytes - 1:+.3%}")
    assert computed == pytest.approx(size_bytes, rel=0.003)


def test_every_file_of_every_preset_is_known() -> None:
    registry = load_registry(UserConfig(Path("none")))  # the package's own
    checked = 0
    for preset in registry.presets.values():
        for role, file in registry.files_of(preset, GENERATION_ROLES).items():
            if role == "lora":  # counted by its size
                continue
            computed = sum(t.nbytes for t in published_layout(role, file.file_name))
            if role == "pulid":  # the network that makes identities is not counted
                expected = 839e6 if preset.family == "flux" else 681_574_400
                assert computed == pytest.approx(expected, rel=0.005)
            else:
                assert computed == pytest.approx(file.shown_bytes, rel=0.01), file.file_name
            checked += 1
    assert checked >= 25


@pytest.mark.parametrize(("flux_type", "t5_type"), [("q4_0", "f16"), ("q8_0", "q8_0")])
def test_a_plan_is_that_of_a_real_file(flux_type: str, t5_type: str, tmp_path: Path) -> None:
    """Headers written independently, with the layout's names and types."""
    t5 = f"t5xxl_{t5_type}" + (".safetensors" if t5_type == "f16" else ".gguf")
    names = {
        "diffusion_model_path": write_flux(tmp_path / f"flux1-schnell-{flux_type}.gguf", flux_type),
        "clip_l_path": write_clip_l(tmp_path / "clip_l.safetensors"),
        "t5xxl_path": write_t5(tmp_path / t5, t5_type),
        "vae_path": write_autoencoder(tmp_path / "ae.safetensors"),
        "pulid_weights": write_pulid(tmp_path / "pulid.safetensors"),
    }
    roles = ("diffusion_model", "clip_l", "t5xxl", "vae", "pulid")
    context = ContextOptions(**names)  # type: ignore[arg-type]
    absent = ContextOptions(**{name: Path(path.name) for name, path in names.items()})  # type: ignore[arg-type]
    layouts = {
        name: published_layout(role, path.name)
        for role, (name, path) in zip(roles, names.items(), strict=True)
    }
    planned, real = asdict(model_sizes(absent, layouts)), asdict(model_sizes(context))
    assert planned.pop("unet") is real.pop("unet") is None
    # A gguf's position table is F32 here and F16 there: 4 kB.
    assert planned == pytest.approx(real, rel=1e-4)


def test_the_layout_is_one_that_the_engine_takes(tmp_path: Path) -> None:
    """All tensors that are expected of a Flux, of the right shapes."""
    from pulid_sdcpp.tensors.gguf_writer import write_gguf
    from pulid_sdcpp.tensors.tensor_spec import TensorSpec

    layout = published_layout("diffusion_model", "flux1-fill-dev-Q4_K_S.gguf")
    specs = [TensorSpec(one.name, one.shape, one.dtype) for one in layout]
    path = tmp_path / "fill.gguf"
    write_gguf(path, specs, {"general.architecture": "flux"})
    info = check_diffusion_model(path)
    assert (info.variant, info.guidance_embed, info.depth) == ("Fill", True, 19)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flux1-dev-Q4_K_S.gguf", "q4_k_s"),
        ("flux1-dev-F16.gguf", "f16"),
        ("t5xxl_fp16.safetensors", "f16"),
        ("flux1-dev-fp8_scaled.safetensors", "f8_e4m3"),
        ("flux1-dev.safetensors", ""),
        ("aq4_0b.gguf", ""),
    ],
)
def test_the_type_is_in_the_name(name: str, expected: str) -> None:
    assert named_type(name) == expected


def test_what_cannot_be_known_is_said() -> None:
    with pytest.raises(ModelFileError, match="does not say of which type it is"):
        published_layout("diffusion_model", "flux.gguf")
    with pytest.raises(ModelFileError, match="does not say of which type it is"):
        published_layout("checkpoint", "sdxl.gguf")
    with pytest.raises(ModelFileError, match="eva is not known"):
        published_layout("eva", "EVA02.pt")
