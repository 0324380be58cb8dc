"""Finding files in folders as people have them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from huggingface_hub import constants

from pulid_sdcpp import ModelFileError
from pulid_sdcpp.pocket.pack import pocket_files
from pulid_sdcpp.store.absent_files import absent_layouts
from pulid_sdcpp.store.model_store import ModelStore, resolve_preset
from pulid_sdcpp.store.registry import (
    EXTRACTION_ROLES,
    ROLES,
    RegistryFile,
    load_registry,
    pocket_settings,
)

GENERATION = {
    "diffusion_model_path": "flux1-schnell-Q4_K_S.gguf",
    "vae_path": "ae.safetensors",
    "clip_l_path": "clip_l.safetensors",
    "t5xxl_path": "t5-v1_1-xxl-encoder-Q4_K_M.gguf",
    "pulid_weights": "pulid_flux_v0.9.1.safetensors",
}
EXTRACTION = {
    "pulid_weights": "pulid_flux_v0.9.1.safetensors",
    "eva": "EVA02_CLIP_L_336_psz14_s6B.pt",
    "parsing": "parsing_bisenet.pth",
    "detector": "scrfd_10g_bnkps.onnx",
    "recogniser": "glintr100.onnx",
}
COMFYUI = {
    "models/unet": [GENERATION["diffusion_model_path"]],
    "models/vae": [GENERATION["vae_path"]],
    "models/text_encoders": [GENERATION["clip_l_path"]],
    "models/clip": [GENERATION["t5xxl_path"], EXTRACTION["eva"]],
    "models/pulid": [GENERATION["pulid_weights"]],
    "models/insightface/models/antelopev2/antelopev2": [
        EXTRACTION["detector"],
        EXTRACTION["recogniser"],
    ],
    "models/facexlib": [EXTRACTION["parsing"]],
}
FORGE = {
    "models/Stable-diffusion/flux": [GENERATION["diffusion_model_path"]],
    "models/VAE": [GENERATION["vae_path"]],
    "models/text_encoder": [GENERATION["clip_l_path"], GENERATION["t5xxl_path"]],
    "models/ControlNet": [GENERATION["pulid_weights"]],
}
PLAIN = {"": [*GENERATION.values(), EXTRACTION["eva"]], "antelopev2": []}


@pytest.fixture(autouse=True)
def _own_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def write_tree(root: Path, tree: dict[str, Sequence[str]]) -> Path:
    """Files of the sizes they should have, without their content."""
    registry = load_registry()
    sizes = {file.file_name: file.size_bytes or 1000 for file in registry.files.values()}
    for folder, names in tree.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            write_sparse(root / folder / name, sizes[name])
    return root


def write_sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


@pytest.mark.parametrize(
    ("tree", "below"),
    [(COMFYUI, ""), (COMFYUI, "models"), (FORGE, ""), (FORGE, "models"), (PLAIN, "")],
    ids=["comfyui", "comfyui/models", "forge", "forge/models", "plain"],
)
def test_a_folder_is_used_as_it_is(tmp_path: Path, tree: dict[str, list[str]], below: str) -> None:
    root = write_tree(tmp_path / "tree", tree)
    before = sorted(root.rglob("*"))
    found = resolve_preset("flux-schnell-q4", [root / below])
    assert {field: path.name for field, path in found.context.items()} == GENERATION
    assert all(path.is_relative_to(root) for path in found.context.values())
    assert found.settings == {"steps": 4, "cfg_scale": 1.0, "width": 1024, "height": 1024}
    assert sorted(root.rglob("*")) == before
    if tree is COMFYUI:
        assert {role: path.name for role, path in found.extractor.items()} == EXTRACTION
        assert found.missing_for_extraction == ""
        complete = resolve_preset("flux-schnell-q4", [root], extraction=True)
        assert complete.extractor == found.extractor
    else:
        assert "scrfd_10g_bnkps.onnx (17 MB)" in found.missing_for_extraction
        assert "models pull flux-schnell-q4" in found.missing_for_extraction
        with pytest.raises(ModelFileError, match=r"scrfd_10g_bnkps.onnx \(17 MB\); glintr100.onnx"):
            resolve_preset("flux-schnell-q4", [root], extraction=True)


def test_a_preset_with_a_lora_needs_it_and_names_it(tmp_path: Path) -> None:
    preset = "flux-dev-turbo-q4"
    names = [
        file.file_name for file in load_registry().files_of(load_registry().preset(preset)).values()
    ]
    lora = "diffusion_pytorch_model.safetensors"
    root = write_tree(tmp_path / "tree", {"": [name for name in names if name != lora]})
    with pytest.raises(ModelFileError, match=rf"missing model files: {lora} \(694 MB\); get them"):
        resolve_preset(preset, [root])
    planned = resolve_preset(preset, [root], may_be_absent=True)
    assert set(planned.absent) == {"lora_files"}
    (tensor,) = absent_layouts(planned.absent)["lora_files"]
    assert tensor.nbytes == 694_082_424
    write_sparse(root / "flux-turbo-alpha.safetensors", 694_082_424)
    found = resolve_preset(preset, [root])
    path = root / "flux-turbo-alpha.safetensors"
    assert found.settings["lora_files"] == (("flux-turbo-alpha", path),)
    assert found.settings["steps"] == 8
    assert path not in found.context.values()


def test_everything_that_is_missing_is_named_with_its_size() -> None:
    with pytest.raises(ModelFileError) as raised:
        resolve_preset("flux-schnell-q4")
    text = str(raised.value)
    assert "flux1-schnell-Q4_K_S.gguf (6.8 GB); ae.safetensors (335 MB); clip_l" in text
    assert "get them with 'pulid-sdcpp models pull flux-schnell-q4'" in text
    assert "\n" not in text


def test_what_the_caller_has_himself_need_not_be_there(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"": [GENERATION["diffusion_model_path"]]})
    with pytest.raises(ModelFileError) as raised:
        resolve_preset("flux-schnell-q4", [root], without=["vae_path", "t5xxl_path"])
    assert "missing model files: clip_l" in str(raised.value)
    assert "ae.safetensors" not in str(raised.value)
    own = ["vae_path", "t5xxl_path", "clip_l_path", "pulid_weights"]
    found = resolve_preset("flux-schnell-q4", [root], without=own)
    assert set(found.context) == {"diffusion_model_path"}
    assert "pulid_weights" not in found.extractor


def test_a_file_of_the_wrong_size_is_said_to_be(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", PLAIN)
    write_sparse(root / "ae.safetensors", 130)
    with pytest.raises(ModelFileError, match=r"ae.safetensors \(335 MB\), but .* has 130 bytes"):
        resolve_preset("flux-schnell-q4", [root])
    write_tree(root, {"deeper": ["ae.safetensors"]})
    assert resolve_preset("flux-schnell-q4", [root]).context["vae_path"].parent.name == "deeper"


def test_other_names_and_letter_cases(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", PLAIN)
    (root / "ae.safetensors").rename(root / "ae.sft")
    (root / "clip_l.safetensors").rename(root / "CLIP_L.safetensors")
    context = resolve_preset("flux-schnell-q4", [root]).context
    assert context["vae_path"].name == "ae.sft"
    assert context["clip_l_path"].name == "CLIP_L.safetensors"


def test_the_first_folder_comes_first_and_the_configs_last(tmp_path: Path) -> None:
    first = write_tree(tmp_path / "first", {"": ["ae.safetensors"]})
    second = write_tree(tmp_path / "second", PLAIN)
    own = write_tree(tmp_path / "config" / "own", PLAIN)
    (tmp_path / "config" / "config.toml").write_text("models_dirs = ['own']")
    file = load_registry().files["flux-ae"]
    assert ModelStore([first, second]).find(file).path == first / "ae.safetensors"
    assert ModelStore([second, first]).find(file).path == second / "ae.safetensors"
    assert ModelStore().find(file).path == own / "ae.safetensors"


def test_the_hubs_cache_is_looked_at(tmp_path: Path) -> None:
    commit = "a" * 40
    repository = tmp_path / "hub" / "models--guozinan--PuLID"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    write_tree(repository, {f"snapshots/{commit}": ["pulid_flux_v0.9.1.safetensors"]})
    found = ModelStore().find(load_registry().files["pulid"])
    assert found.place == "hub"
    assert found.path == repository / "snapshots" / commit / "pulid_flux_v0.9.1.safetensors"
    write_sparse(found.path, 5)
    again = ModelStore().find(load_registry().files["pulid"])
    assert again.path is None
    assert "has 5 bytes, not 1142099520: it is damaged, or another file" in again.problem


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_between_folders_end(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a/b": []})
    elsewhere = write_tree(tmp_path / "elsewhere", {"vae": ["ae.safetensors"]})
    (root / "a" / "b" / "up").symlink_to(root)
    (root / "a" / "other").symlink_to(elsewhere)
    found = ModelStore([root]).find(load_registry().files["flux-ae"])
    assert found.path == root / "a" / "other" / "vae" / "ae.safetensors"


def test_folders_that_are_none_are_warned_of_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_tree(tmp_path / "tree", {"vae": ["ae.safetensors"]})
    (tmp_path / "file").touch()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("models_dirs = ['gone']")
    store = ModelStore([tmp_path / "none", tmp_path / "file", root])
    assert store.find(load_registry().files["flux-ae"]).path == root / "vae" / "ae.safetensors"
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 3
    assert said[0].endswith("none: expected a models folder, found nothing there")
    assert said[1].endswith("file: expected a models folder, found a file")
    assert "gone: expected a models folder, found nothing there (models_dirs in" in said[2]


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "mine.gguf"
    root = write_tree(tmp_path / "tree", PLAIN)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(
        f"[presets.mine]\nbase = 'flux-dev-q4'\nfiles.diffusion_model = '{own}'"
    )
    with pytest.raises(
        ModelFileError, match=r"mine.gguf .*; the config file says that .*mine.gguf is"
    ):
        resolve_preset("mine", [root])
    own.touch()
    found = resolve_preset("mine", [root])
    assert found.context["diffusion_model_path"] == own
    assert found.settings["guidance"] == 3.5


def test_the_pocket_preset_is_in_the_package() -> None:
    files = pocket_files()
    found = resolve_preset("pocket", extraction=True)
    assert found.context == {
        "diffusion_model_path": files.diffusion_model,
        "taesd_path": files.taesd,
        "clip_l_path": files.clip_l,
        "pulid_weights": files.pulid_weights,
        "lora_model_dir": files.loras,
    }
    assert set(found.extractor) == {r for r in EXTRACTION_ROLES if r != "pulid"} | {"pulid_weights"}
    assert all(path.is_file() for path in found.extractor.values())
    assert found.settings == pocket_settings()
    assert found.settings == {
        "steps": 4, "cfg_scale": 1.0, "width": 128, "height": 128, "scheduler": "discrete",
    }  # fmt: skip
    assert found.missing_for_extraction == ""


def test_a_preset_on_top_of_the_pocket_model(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.touch()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(
        f"[presets.mine]\nbase = 'pocket'\nfiles.taesd = '{other}'\nsettings.steps = 2"
    )
    found = resolve_preset("mine")
    assert found.context["taesd_path"] == other
    assert found.context["diffusion_model_path"] == pocket_files().diffusion_model
    assert found.settings["steps"] == 2


def test_an_unknown_preset() -> None:
    with pytest.raises(ValueError, match="there is no preset 'x'"):
        resolve_preset("x")


def test_roles_have_a_place_in_the_engine_or_the_extractor() -> None:
    assert ROLES == ("diffusion_model", "checkpoint", "lora", "vae", "taesd", "clip_l", "clip_g",
                     "t5xxl", "pulid", "eva", "detector", "recogniser", "parsing")  # fmt: skip
    assert ModelStore().find(RegistryFile("x", "vae", path="relative.safetensors")).path is None
