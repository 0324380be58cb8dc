"""The pocket SDXL's files: expanded once, whole, and refused when they are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocket_packs import draft_pack, expand_with, write_small_gguf
from pulid_sdcpp.errors import ModelFileError, OutputFileError
from pulid_sdcpp.families.sdxl.unet_layout import check_unet
from pulid_sdcpp.pocket import sdxl_expansion, sdxl_pack
from pulid_sdcpp.pocket.pack import PACK_FOLDER, pocket_files, write_manifest
from pulid_sdcpp.pocket.sdxl_expansion import LAYOUT, NAMES, expand_sdxl
from pulid_sdcpp.pocket.sdxl_pack import pocket_sdxl_files
from pulid_sdcpp.store.model_store import resolve_preset
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.tensor_file import TensorFile
from pulid_sdcpp.tensors.tensor_spec import TensorSpec


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pocket"


@pytest.fixture
def pack(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a few bytes, which are expanded to a few bytes."""
    expand_with(monkeypatch, write_small_gguf)
    folder = draft_pack(tmp_path / "pack", {})
    (folder / "sdxl.gguf").write_bytes(b"own")
    write_manifest(folder)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    made: list[Path] = []

    def expand(compact: Path, flux_pulid: Path, taef1: Path, folder: Path) -> None:
        assert [path.name for path in (compact, flux_pulid, taef1)] == [
            "sdxl.gguf",
            "pulid_flux_v0.9.1.safetensors",
            "taef1.safetensors",
        ]
        made.append(folder)
        for name in NAMES.values():
            (folder / name).write_bytes(name.encode())

    monkeypatch.setattr(sdxl_expansion, "expand_sdxl", expand)
    return made


def test_files_are_expanded_once_and_again_when_damaged(
    pack: Path, cache: Path, calls: list[Path]
) -> None:
    files = pocket_sdxl_files(pack)
    assert files.clip_l == pocket_files(pack).clip_l
    assert files == pocket_sdxl_files(pack)
    assert len(calls) == 1
    for role, name in NAMES.items():
        assert getattr(files, role).read_bytes() == name.encode()
    files.taesd.write_bytes(bytes(files.taesd.stat().st_size))
    assert pocket_sdxl_files(pack).taesd.read_bytes() == NAMES["taesd"].encode()
    files.clip_g.unlink()
    pocket_sdxl_files(pack)
    assert len(calls) == 3
    assert files.clip_g.is_file()
    assert [path.name for path in cache.glob(".*")] == []


def test_what_shares_a_changed_file_is_expanded_anew(pack: Path, calls: list[Path]) -> None:
    first = pocket_sdxl_files(pack)
    (pack / "taef1.safetensors").write_bytes(b"trained longer")
    write_manifest(pack)
    assert pocket_sdxl_files(pack).taesd.parent != first.taesd.parent


def test_a_failed_expansion_leaves_nothing(
    pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(compact: Path, flux_pulid: Path, taef1: Path, folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sdxl_expansion, "expand_sdxl", full)
    with pytest.raises(OutputFileError, match=r"No space left.*PULID_SDCPP_CACHE"):
        pocket_sdxl_files(pack)
    assert [path for path in cache.iterdir() if "sdxl" in path.name] == []


def test_one_who_was_faster_is_used(
    pack: Path, calls: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = sdxl_pack.os.replace

    def other_was_faster(draft: Path, folder: Path) -> None:
        replace(draft, folder)
        if folder.is_dir():
            raise OSError(39, "Directory not empty")

    monkeypatch.setattr(sdxl_pack.os, "replace", other_was_faster)
    assert pocket_sdxl_files(pack).taesd.is_file()


def test_a_pack_without_it_is_said_to_be(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelFileError, match=r"has no sdxl\.gguf; reinstall"):
        pocket_sdxl_files(draft_pack(tmp_path / "old", {}))


@pytest.mark.parametrize(
    ("layout", "name", "message"),
    [
        ("other", "unet.out.2.bias", r"a small SDXL \(layout sdxl-corner-1\), found 'other'"),
        (LAYOUT, "vae.out", r"unexpected tensor 'vae\.out'"),
        (LAYOUT, "unet.out.2.bias", r"has no tensor 'unet\.input_blocks\.0\.0\.weight'"),
    ],
)  # fmt: skip
def test_another_file_is_refused(tmp_path: Path, layout: str, name: str, message: str) -> None:
    compact = tmp_path / "sdxl.gguf"
    write_gguf(compact, [TensorSpec(name, (4,), "f32")], {"pocket.layout": layout})
    shared = [PACK_FOLDER / name for name in sdxl_pack._SOURCES[1:]]
    with pytest.raises(ModelFileError, match=message):
        expand_sdxl(compact, *shared, tmp_path)


def test_the_preset_has_every_file_and_they_fit() -> None:
    found, own = resolve_preset("pocket-sdxl", extraction=True), pocket_sdxl_files()
    assert found.family == "sdxl"
    assert found.context["clip_g_path"] == own.clip_g
    assert found.context["diffusion_model_path"] == own.diffusion_model
    assert found.extractor["pulid_weights"] == own.pulid_weights
    unet = check_unet(own.diffusion_model)
    assert unet.predicts_velocity
    with TensorFile(own.pulid_weights) as weights:
        for layer in range(len(unet.layers)):
            assert f"id_adapter_attn_layers.{2 * layer + 1}.id_to_k.weight" in weights
