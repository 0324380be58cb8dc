from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.extraction.files import extraction_files
from pulid_sdcpp.pocket.pack import pocket_files
from pulid_sdcpp.store.registry import EXTRACTION_ROLES, load_registry

PRESET = "flux-schnell-q4"


def put(folder: Path, role: str) -> Path:
    """A file of the right name and size, and nothing in it."""
    registry = load_registry()
    file = registry.files_of(registry.preset(PRESET), (role,))[role]
    path = folder / file.file_name
    with path.open("wb") as content:
        content.truncate(file.size_bytes)
    return path


def test_what_is_missing_is_named_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as raised:
        extraction_files(PRESET, [tmp_path])
    message = str(raised.value)
    for name in ("pulid_flux_v0.9.1.safetensors (1.1 GB)", "EVA02_CLIP_L_336_psz14_s6B.pt (856 MB)",
                 "scrfd_10g_bnkps.onnx (17 MB)", "glintr100.onnx (2", "parsing_bisenet.pth (53 MB)",
                 "models pull extraction', all of", f"'models pull {PRESET}'"):  # fmt: skip
        assert name in message
    assert "flux1" not in message


def test_only_what_is_needed_must_be_there(tmp_path: Path) -> None:
    detector = put(tmp_path, "detector")
    assert extraction_files(PRESET, [tmp_path], ("detector",)) == {"detector": detector}
    with pytest.raises(
        ModelFileError, match=r"missing model files: pulid_flux[^;]*; EVA02[^;]*; g"
    ):
        extraction_files(PRESET, [tmp_path])


@pytest.mark.parametrize(
    ("roles", "part"), [(("detector",), "faces"), (EXTRACTION_ROLES, "extraction")]
)
def test_without_a_preset_only_what_is_needed_is_asked_for(
    tmp_path: Path, roles: tuple[str, ...], part: str
) -> None:
    with pytest.raises(ModelFileError, match=f"'pulid-sdcpp models pull {part}'") as raised:
        extraction_files("", [tmp_path], roles)
    assert "preset" not in str(raised.value)
    for role in roles:
        put(tmp_path, role)
    assert set(extraction_files("", [tmp_path], roles)) == set(roles)


@pytest.mark.parametrize(
    ("name", "weights", "pull"),
    [
        ("extraction-sdxl", "pulid_v1.1.safetensors", "extraction-sdxl', or"),
        ("sdxl-juggernaut", "pulid_v1.1.safetensors", "extraction-sdxl', all of"),
        ("extraction-sdxl-v1", "ip-adapter_pulid_sdxl_fp16", "extraction-sdxl-v1', or"),
        ("sdxl-lightning-q4", "ip-adapter_pulid_sdxl_fp16", "extraction-sdxl-v1', all of"),
    ],
)
def test_for_sdxl_no_whole_preset_is_needed(
    tmp_path: Path, name: str, weights: str, pull: str
) -> None:
    with pytest.raises(ModelFileError, match=f"'pulid-sdcpp models pull {pull}") as raised:
        extraction_files(name, [tmp_path])
    assert weights in str(raised.value)
    registry = load_registry()
    files = registry.files_of(registry.preset_or_part(name), EXTRACTION_ROLES)
    for file in files.values():
        with (tmp_path / file.file_name).open("wb") as content:
            content.truncate(file.size_bytes)
    found = extraction_files(name, [tmp_path])
    assert {role: path.name for role, path in found.items()} == {
        role: file.file_name for role, file in files.items()
    }


def test_a_part_without_the_files_for_photos() -> None:
    with pytest.raises(ValueError, match="faces is only a part of presets"):
        extraction_files("faces")


def test_the_pocket_models_are_in_the_package() -> None:
    found = extraction_files("pocket")
    assert set(found) == set(EXTRACTION_ROLES)
    assert found["detector"] == pocket_files().detector
    assert found["pulid"] == pocket_files().pulid_weights
    assert all(path.is_file() for path in found.values())


def test_an_unknown_preset() -> None:
    with pytest.raises(ValueError, match="there is no preset 'nonsense'"):
        extraction_files("nonsense")
