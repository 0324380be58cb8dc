"""The list of files and presets: the package's own, and what users add."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pulid_sdcpp import ContextOptions, GenerationOptions, ModelFileError
from pulid_sdcpp.store.model_store import _CONTEXT_FIELDS
from pulid_sdcpp.store.registry import (
    EXTRACTION_ROLES,
    GENERATION_ROLES,
    Registry,
    RegistryFile,
    load_registry,
    preset_names,
)
from pulid_sdcpp.system.user_config import load_user_config

PUBLISHED = (
    "flux-schnell-q4",
    "flux-schnell-q6",
    "flux-schnell-q8",
    "flux-dev-q4",
    "flux-dev-q5",
    "flux-dev-q6",
    "flux-dev-q8",
    "flux-dev-turbo-q4",
    "flux-krea-dev-q4",
    "flux-krea-dev-q8",
    "flux-kontext-dev-q4",
    "flux-fill-dev-q4",
)
OF_SDXL = (
    "sdxl-lightning-q4",
    "sdxl-lightning-q8",
    "sdxl-lightning",
    "sdxl-realvis-lightning",
    "sdxl-juggernaut",
    "sdxl-base",
)


@pytest.fixture
def write_config(tmp_path: Path):
    def write(text: str) -> Registry:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load_registry(load_user_config(path))

    return write


def test_the_presets_of_the_package() -> None:
    assert preset_names() == [*PUBLISHED, *OF_SDXL, "pocket", "pocket-sdxl"]


def test_presets_of_a_family_that_is_not_offered_are_in_no_list() -> None:
    offered, everything = load_registry(families=["flux"]), load_registry()
    assert set(everything.presets) - set(offered.presets) == {*OF_SDXL, "pocket-sdxl"}
    assert set(everything.parts) - set(offered.parts) == {
        "extraction-sdxl",
        "extraction-sdxl-v1",
        "taesdxl",
    }
    assert {everything.preset(name).family for name in OF_SDXL} == {"sdxl"}
    assert {preset.family for preset in offered.presets.values()} == {"flux"}
    with pytest.raises(ValueError, match="no preset 'sdxl-lightning'; there are"):
        offered.preset("sdxl-lightning")


@pytest.mark.parametrize("name", [*PUBLISHED, *OF_SDXL])
def test_a_published_preset_is_complete_and_valid(name: str) -> None:
    registry = load_registry()
    preset = registry.preset(name)
    of_flux = {"diffusion_model", "vae", "clip_l", "t5xxl"}
    models = of_flux if name in PUBLISHED else {"checkpoint", "vae"}
    assert set(preset.files) - {"lora"} == models | set(EXTRACTION_ROLES)
    for role, file in registry.files_of(preset).items():
        assert file.role == role
        assert file.published
        assert file.what
        assert file.license in registry.licenses
        assert file.shown_bytes > 1_000_000
    roles = set(preset.files) & set(GENERATION_ROLES) - {"lora"}
    context = {_CONTEXT_FIELDS[role]: "x" for role in roles}
    ContextOptions(**context)
    GenerationOptions("a prompt", **preset.settings)
    if name in PUBLISHED:
        steps = 4 if "schnell" in name else 8 if "turbo" in name else 20
        assert preset.settings["steps"] == steps
        assert "guidance" in preset.settings or "schnell" in name


def test_every_file_of_the_list_is_used_and_what_it_names_exists() -> None:
    registry = load_registry()
    everything = [*registry.presets.values(), *registry.parts.values()]
    used = {registry.files[key] for preset in everything for key in preset.files.values()}
    used |= {home for file in used for home in registry.homes(file)}
    assert {file.key for file in used} == set(registry.files)
    for file in registry.files.values():
        assert re.fullmatch(r"[0-9a-f]{64}|", file.sha256)
        assert file.size_bytes or file.about_bytes
    assert {file.license for file in registry.files.values()} == set(registry.licenses)


def test_every_file_is_known_by_its_hash() -> None:
    unknown = {file.key for file in load_registry().files.values() if not file.sha256}
    assert unknown == {"flux-krea-dev-q4", "flux-fill-dev-q4", "sdxl-lightning-q8"}
    for file in load_registry().files.values():
        assert bool(file.size_bytes) == bool(file.sha256)
        assert re.fullmatch(r"main|[0-9a-f]{40}", file.revision)


def test_an_alternative_is_the_same_file() -> None:
    registry = load_registry()
    file = registry.files["flux-ae"]
    assert file.gated
    _, *others = registry.homes(file)
    # Comfy-Org first: an organisation's, with this hash stated for it by five.
    assert [other.repository for other in others] == [
        "Comfy-Org/Lumina_Image_2.0_Repackaged",
        "ffxvs/vae-flux",
    ]
    for other in others:
        assert not other.gated
        assert (other.sha256, other.size_bytes, other.role, other.license) == (
            file.sha256,
            file.size_bytes,
            file.role,
            file.license,
        )


def test_which_licenses_forbid_commercial_use() -> None:
    registry = load_registry()
    forbidding = {key for key, terms in registry.licenses.items() if not terms.commercial}
    assert forbidding == {"flux-dev", "openrail-m", "insightface"}
    assert not registry.license_of(RegistryFile("x", "vae", path="x")).commercial


def test_a_preset_of_the_users_own_on_top_of_another(write_config, tmp_path: Path) -> None:
    own = tmp_path / "my flux.gguf"
    registry = write_config(f"""
        [files.my-t5]
        role = "t5xxl"
        repository = "me/my-encoders"
        path = "t5.gguf"

        [presets.mine]
        base = "flux-dev-q4"
        files = {{ diffusion_model = '{own}', t5xxl = "my-t5" }}
        settings = {{ steps = 28 }}
    """)
    preset = registry.preset("mine")
    files = registry.files_of(preset)
    assert files["diffusion_model"].path == str(own)
    assert not files["diffusion_model"].published
    assert files["t5xxl"].home == "https://huggingface.co/me/my-encoders"
    assert files["vae"] == registry.files["flux-ae"]
    assert preset.settings == {**registry.preset("flux-dev-q4").settings, "steps": 28}
    assert list(registry.presets) == [*PUBLISHED, *OF_SDXL, "pocket", "pocket-sdxl", "mine"]


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no preset 'flux'; there are: flux-schnell-q4, .*pocket"):
        load_registry().preset("flux")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[files.x]\nrole = 'unet'\npath = 'x'", "role is 'unet', but must be one of diffusion_mo"),
        ("[files.x]\npath = 'x'", r"\[files.x\]: role is missing"),
        ("[files.x]\nrole = 'vae'", "neither repository nor url nor path"),
        ("[files.x]\nrole = 'vae'\nrepository = 'x'\npath = 'y'", "must be 'owner/name'"),
        ("[files.x]\nrole = 'vae'\nrepository = 'a/b'", "must be a file of the repository"),
        ("[files.x]\nrole = 'vae'\nrepository = 'a/b'\npath = '../y'", "must be a file of the"),
        ("[files.x]\nrole = 'vae'\nurl = 'ftp://x/y'", "must begin with https"),
        ("[files.x]\nrole = 'vae'\npath = 'x'\nsha256 = 'ABC'", "64 hexadecimal digits"),
        ("[files.x]\nrole = 'vae'\npath = 'x'\nsize_bytes = -1", "size_bytes must be from 0 to"),
        (f"[files.x]\nrole = 'vae'\npath = 'x'\nabout_bytes = {'9' * 400}", "about_bytes must be"),
        ("[presets.x]\nfiles = { vae = '~nosuchuser/x' }", "no home folder for ~nosuchuser"),
        ("[files.x]\nrole = 'vae'\npath = 'x'\nsize_bytes = true", "must be of type int"),
        ("[files.x]\nrole = 'vae'\npath = 7", "path is 7, but must be of type str"),
        ("[files.x]\nrole = 'vae'\npath = 'x'\nnames = [1]", "must be a list of names"),
        ("[files.x]\nrole = 'vae'\npath = 'x'\nsize = 1", "size is unknown; there are role, what"),
        ("[files]\nx = 1", r"\[files.x\]: expected a table, found 1"),
        ("[files.'a b']\nrole = 'vae'\npath = 'x'", "a name has letters"),
        ("[presets.x]\nbase = 'nothing'", "no preset of that name before it"),
        ("[presets.x]\nfiles = { vae = 'clip-l' }", "whose role is clip_l"),
        ("[presets.x]\nfiles = { vae = 'no-such' }", "neither a file of the list nor a whole path"),
        ("[presets.x]\nfiles = { unet = 'clip-l' }", "no such role"),
        ("[presets.x]\nfiles = { vae = 1 }", "must name a file"),
        ("[presets.x]\nsettings = { step = 4 }", "settings.step: must be one of .*steps, "),
        ("[presets.x]\nsettings = { steps = 4.5 }", "settings.steps is 4.5"),
        ("[presets.x]\nsettings = { steps = true }", "settings.steps is True"),
        ("[licenses.x]\nurl = 'https://x'", "name is missing"),
    ],
)
def test_what_is_wrong_in_the_config_file_is_said(write_config, text: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as raised:
        write_config(text)
    assert "config.toml" in str(raised.value)
    assert "\n" not in str(raised.value)
