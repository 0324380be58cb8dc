from __future__ import annotations

import json
import os
import shutil
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pocket_packs import draft_pack, expand_with, write_small_gguf
from pulid_extractor import find_model_files
from pulid_sdcpp.errors import ModelFileError, OutputFileError
from pulid_sdcpp.pocket import pack as pocket_model
from pulid_sdcpp.pocket.pack import (
    MANIFEST_NAME,
    PACK_FOLDER,
    check_pack,
    pocket_files,
    write_manifest,
)

MAX_ZIPPED_BYTES = 32_000_000
PORTRAITS = {"b": Image.new("RGB", (64, 64), "blue"), "a": Image.new("RGB", (64, 64), "red")}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pocket"


@pytest.fixture
def pack(tmp_path: Path, cache: Path) -> Path:
    return draft_pack(tmp_path / "pack", PORTRAITS)


def test_every_file_is_found(pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expand_with(monkeypatch, write_small_gguf)
    files = pocket_files(pack)
    assert files.models_dir == pack
    assert files.diffusion_model == pack / "flux1-schnell-pocket.gguf"
    assert [path.stem for path in files.portraits] == ["a", "b"]
    assert files.loras == pack / "loras"
    for name in ("diffusion_model", "pulid_weights", "taesd", "judge", "attributes", "clip_l"):
        assert getattr(files, name).is_file(), name
    assert files.clip_l.parent == cache
    found = find_model_files(files.models_dir)
    assert (found.detector, found.recogniser) == (files.detector, files.recogniser)
    assert found.pulid == files.pulid_weights


def test_the_package_folder_is_where_it_is_looked_for(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(pocket_model.__file__).parent / "model" == pocket_model.PACK_FOLDER
    expand_with(monkeypatch, write_small_gguf)
    monkeypatch.setattr(pocket_model, "PACK_FOLDER", pack)
    assert pocket_files().models_dir == pack


def test_the_text_encoder_is_expanded_once(
    pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = expand_with(monkeypatch, write_small_gguf)
    first = pocket_files(pack).clip_l
    assert pocket_files(pack).clip_l == first
    assert len(calls) == 1
    assert [path.name for path in cache.iterdir()] == [first.name]


def test_another_compact_file_is_expanded_to_another(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expand_with(monkeypatch, write_small_gguf)
    first = pocket_files(pack).clip_l
    (pack / "text_encoder.safetensors").write_bytes(b"trained longer")
    write_manifest(pack)
    assert pocket_files(pack).clip_l != first


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:9],
        lambda whole: whole[:-1],
        lambda whole: whole[:-20],
        lambda whole: whole + b"\0",
        lambda whole: bytes(len(whole)),
        lambda whole: whole[:-80] + bytes(68) + whole[-12:],  # numbers of its tensor
        lambda whole: whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
    ],
)
def test_a_damaged_expansion_is_made_anew(
    pack: Path, damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = expand_with(monkeypatch, write_small_gguf)
    path = pocket_files(pack).clip_l
    whole = path.read_bytes()
    damaged = damage(whole)
    assert damaged != whole
    path.write_bytes(damaged)
    pocket_files(pack)
    assert len(calls) == 2
    assert path.read_bytes() == whole


def test_a_failed_expansion_leaves_nothing(
    pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(compact: Path, output: Path) -> None:
        output.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    expand_with(monkeypatch, full)
    with pytest.raises(OutputFileError, match=r"No space left.*PULID_SDCPP_CACHE"):
        pocket_files(pack)
    assert list(cache.iterdir()) == []


def test_two_at_once_both_succeed(pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_expand = threading.Barrier(2, timeout=30)

    def expand(compact: Path, output: Path) -> None:
        both_expand.wait()
        write_small_gguf(compact, output)

    calls = expand_with(monkeypatch, expand)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(pocket_files(pack).clip_l)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(calls)) == 2
    assert len(set(found)) == 1
    assert [path.name for path in cache.iterdir()] == [found[0].name]


def test_one_that_windows_does_not_replace_is_used_when_it_is_whole(
    pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expand_with(monkeypatch, write_small_gguf)

    def other_was_faster(draft: Path, path: Path) -> None:
        path.write_bytes(draft.read_bytes())
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(pocket_model.os, "replace", other_was_faster)
    path = pocket_files(pack).clip_l
    assert [found.name for found in cache.iterdir()] == [path.name]


def test_a_user_without_a_home_is_told_what_to_do(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pocket_model, "cache_folder", no_home)
    with pytest.raises(OutputFileError, match=r"home directory.*PULID_SDCPP_CACHE"):
        pocket_files(pack)


def test_an_absent_pack_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"the pocket model is not there; reinstall"):
        pocket_files(tmp_path)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b'{"version": 2, "files": []}', b'{"version": 1}', b"\xff\xfe",
     b'{"version": 1, "files": [{"name": "a", "size": "many", "sha256": ""}]}',
     b'{"version": 1, "files": 3}', b'{"version": 1, "files": [3]}'],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(pack: Path, text: bytes) -> None:
    (pack / MANIFEST_NAME).write_bytes(text)
    with pytest.raises(ModelFileError, match=r"pack\.json: expected the list"):
        check_pack(pack)


def test_a_missing_file_is_named(pack: Path) -> None:
    (pack / "judge.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"judge\.onnx: this file .* is missing; reinstall"):
        pocket_files(pack)


def test_a_file_that_the_manifest_lacks_is_named(pack: Path) -> None:
    (pack / "judge.onnx").unlink()
    write_manifest(pack)
    with pytest.raises(ModelFileError, match=r"has no judge\.onnx"):
        pocket_files(pack)


def test_a_truncated_file_is_named(pack: Path) -> None:
    path = pack / "taef1.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match=r"taef1.*expected 17 bytes .*, found 16"):
        pocket_files(pack)


def test_a_changed_file_is_named(pack: Path) -> None:
    path = pack / "portraits" / "a.png"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"a\.png: expected .* SHA-256 \w{10}\.\.\., found"):
        pocket_files(pack)


def test_the_manifest_lists_everything_but_itself(pack: Path) -> None:
    written = (pack / MANIFEST_NAME).read_bytes()
    names = [entry["name"] for entry in json.loads(written)["files"]]
    on_disk = {path.relative_to(pack).as_posix() for path in pack.rglob("*") if path.is_file()}
    assert names == sorted(on_disk - {MANIFEST_NAME})
    assert "antelopev2/glintr100.onnx" in names
    write_manifest(pack)
    assert (pack / MANIFEST_NAME).read_bytes() == written


def test_moving_a_pack_changes_nothing(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = expand_with(monkeypatch, write_small_gguf)
    first = pocket_files(pack)
    shutil.move(pack, tmp_path / "elsewhere")
    assert pocket_files(tmp_path / "elsewhere").clip_l == first.clip_l
    assert len(calls) == 1


@pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file() and os.environ.get("PULID_REQUIRE_POCKET") != "1",
    reason="the pocket model is not in this folder",
)
def test_the_shipped_pack_is_whole_and_small_and_runs_no_code() -> None:
    names = check_pack()
    on_disk = {path.relative_to(PACK_FOLDER).as_posix() for path in PACK_FOLDER.rglob("*.*")}
    assert set(names) == on_disk - {MANIFEST_NAME}
    assert "loras/two-people.safetensors" in names
    assert {Path(name).suffix for name in names} == {".gguf", ".safetensors", ".onnx", ".png"}
    zipped = sum(len(zlib.compress((PACK_FOLDER / name).read_bytes())) for name in names)
    print(f"{len(names)} files, {zipped / 1e6:.1f} MB zipped")
    assert zipped <= MAX_ZIPPED_BYTES
