"""The models folder: what is found where, and what is said of what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pulid_extractor import find_model_files
from pulid_sdcpp.errors import ModelFileError

ROOT_FILES = (
    "EVA02_CLIP_L_336_psz14_s6B.pt", "parsing_bisenet.pth", "pulid_flux_v0.9.1.safetensors",
)  # fmt: skip
PAIR = ("scrfd_10g_bnkps.onnx", "glintr100.onnx")


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "inside", ["antelopev2", "antelopev2/antelopev2", "models/antelopev2", "."]
)
def test_published_names_are_found(tmp_path: Path, inside: str) -> None:
    fill(tmp_path, *ROOT_FILES, *(f"{inside}/{name}" for name in PAIR))
    files = find_model_files(tmp_path)
    assert files.detector == tmp_path / inside / PAIR[0]
    assert files.recogniser == tmp_path / inside / PAIR[1]
    assert (files.eva, files.parsing, files.pulid) == tuple(tmp_path / n for n in ROOT_FILES)


def test_the_newer_pulid_is_preferred_and_the_older_accepted(tmp_path: Path) -> None:
    fill(tmp_path, *ROOT_FILES, "pulid_flux_v0.9.0.safetensors",
         *(f"antelopev2/{name}" for name in PAIR))  # fmt: skip
    assert find_model_files(tmp_path).pulid.name == "pulid_flux_v0.9.1.safetensors"
    (tmp_path / "pulid_flux_v0.9.1.safetensors").unlink()
    assert find_model_files(tmp_path).pulid.name == "pulid_flux_v0.9.0.safetensors"


def test_weights_for_sdxl_are_found_where_there_are_none_for_flux(tmp_path: Path) -> None:
    fill(tmp_path, *ROOT_FILES, "pulid_v1.1.safetensors", "pulid_v1.bin",
         *(f"antelopev2/{name}" for name in PAIR))  # fmt: skip
    assert find_model_files(tmp_path).pulid.name == "pulid_flux_v0.9.1.safetensors"
    (tmp_path / "pulid_flux_v0.9.1.safetensors").unlink()
    assert find_model_files(tmp_path).pulid.name == "pulid_v1.1.safetensors"
    (tmp_path / "pulid_v1.1.safetensors").unlink()
    assert find_model_files(tmp_path).pulid.name == "pulid_v1.bin"
    fill(tmp_path, "ip-adapter_pulid_sdxl_fp16.safetensors")
    assert find_model_files(tmp_path).pulid.name == "ip-adapter_pulid_sdxl_fp16.safetensors"


def test_safetensors_copies_are_preferred(tmp_path: Path) -> None:
    fill(tmp_path, *ROOT_FILES, "EVA02_CLIP_L_336_psz14_s6B.safetensors",
         "parsing_bisenet.safetensors", *(f"antelopev2/{name}" for name in PAIR))  # fmt: skip
    files = find_model_files(tmp_path)
    assert files.eva.suffix == files.parsing.suffix == ".safetensors"


def test_everything_missing_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    fill(tmp_path, "antelopev2/glintr100.onnx", "parsing_bisenet.pth")
    with pytest.raises(ModelFileError) as raised:
        find_model_files(tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}: missing model files: ")
    for part in (
        "antelopev2/scrfd_10g_bnkps.onnx (SCRFD face detector, from DIAMONIK7777/antelopev2)",
        "EVA02_CLIP_L_336_psz14_s6B.pt (EVA02-CLIP vision tower, from QuanSun/EVA-CLIP)",
        "pulid_flux_v0.9.1.safetensors (PuLID weights, from guozinan/PuLID)",
    ):
        assert part in message
    assert "glintr100" not in message
    assert "bisenet" not in message


def test_files_given_are_taken_and_no_folder_is_needed(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b", "c", "d", "e")
    roles = ("detector", "recogniser", "eva", "parsing", "pulid")
    given = {role: tmp_path / name for role, name in zip(roles, "abcde", strict=True)}
    files = find_model_files(**given)
    assert vars(files) == {**given, "retinaface": None}
    del given["eva"]
    with pytest.raises(ModelFileError, match=r"no models folder was given: missing .*EVA02"):
        find_model_files(**given)


def test_a_given_file_overrides_the_folder(tmp_path: Path) -> None:
    fill(tmp_path, *ROOT_FILES, "mine.safetensors", *(f"antelopev2/{name}" for name in PAIR))
    assert find_model_files(tmp_path, pulid=tmp_path / "mine.safetensors").pulid.stem == "mine"
    with pytest.raises(ModelFileError, match=r"other: expected the PuLID .* found nothing"):
        find_model_files(tmp_path, pulid=tmp_path / "other")
    with pytest.raises(ModelFileError, match="expected the BiSeNet face parser, found a folder"):
        find_model_files(tmp_path, parsing=tmp_path / "antelopev2")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    with pytest.raises(ModelFileError, match="expected the models folder, found nothing"):
        find_model_files(tmp_path / "absent")
    with pytest.raises(ModelFileError, match="expected the models folder, found a file"):
        find_model_files(tmp_path / "file")


def test_the_aligners_file_is_looked_for_when_it_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, *ROOT_FILES, *(f"antelopev2/{name}" for name in PAIR))
    assert find_model_files(tmp_path).retinaface is None
    expected = r"missing model files: detection_Resnet50_Final.pth \(RetinaFace.*xinntao/facexlib"
    with pytest.raises(ModelFileError, match=expected):
        find_model_files(tmp_path, with_retinaface=True)
    fill(tmp_path, "facexlib/detection_Resnet50_Final.pth", "mine.pth")
    found = find_model_files(tmp_path, with_retinaface=True).retinaface
    assert found == tmp_path / "facexlib" / "detection_Resnet50_Final.pth"
    assert find_model_files(tmp_path, retinaface=tmp_path / "mine.pth").retinaface is not None


def test_what_is_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    fill(tmp_path, *ROOT_FILES, *(f"antelopev2/{name}" for name in PAIR))
    (tmp_path / "parsing_bisenet.pth").unlink()
    (tmp_path / "parsing_bisenet.pth").mkdir()
    with pytest.raises(ModelFileError, match=r"bisenet\.pth: expected the BiSeNet .* a folder"):
        find_model_files(tmp_path)
    (tmp_path / "parsing_bisenet.pth").rmdir()
    (tmp_path / "parsing_bisenet.pth").symlink_to("cache/blob")
    with pytest.raises(ModelFileError, match="found a link to cache/blob, where nothing is"):
        find_model_files(tmp_path)
    (tmp_path / "parsing_bisenet.pth").unlink()
    (tmp_path / "parsing_bisenet.pth").touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match=r"pipe: expected the PuLID .* a pipe or a device"):
            find_model_files(tmp_path, pulid=tmp_path / "pipe")
