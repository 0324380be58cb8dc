"""`--lora`, `loras=`: tags behind the prompt, and files that these tags mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.model_files.lora_files_named import named_files, with_lora_tags, with_preset_loras
from pulid_sdcpp.model_files.lora_tags import prompt_loras
from pulid_sdcpp.options.generation import GenerationOptions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("one/style.safetensors", "two/style.safetensors", "a b,c.gguf", "x;y.pt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def tagged(*loras: Any, prompt: str = "a face", **options: Any) -> GenerationOptions:
    return with_lora_tags(GenerationOptions(prompt, loras=loras), **options)


@pytest.mark.parametrize(
    ("lora", "tag", "file"),
    [
        ("one/style.safetensors:0.8", "<lora:style:0.8>", "one/style.safetensors"),
        ("one/style", "<lora:style:1>", "one/style.safetensors"),
        ("./one/../two/style:-0.25", "<lora:style:-0.25>", "two/style.safetensors"),
        ("a b,c.gguf:2", "<lora:a b,c:2>", "a b,c.gguf"),
        ("named:0.5", "<lora:named:0.5>", None),  # in the LoRA folder
    ],
)
def test_a_lora_is_a_tag_behind_the_prompt(
    folder: Path, lora: str, tag: str, file: str | None
) -> None:
    found = tagged(lora)
    assert found.prompt == f"a face{tag}"
    assert found.loras == ()
    assert dict(found.lora_files) == ({} if file is None else {Path(file).stem: folder / file})
    assert with_lora_tags(found) == found
    if file is not None:
        (used,) = prompt_loras(found.prompt, "nowhere", found.lora_files)
        assert used.path == folder / file


def test_no_lora_changes_nothing() -> None:
    assert tagged().prompt == "a face"


def test_the_same_lora_again_replaces_that_of_the_picture(folder: Path) -> None:
    before = "a <lora:style:0.3>face<lora:other:1>"
    assert tagged("one/style:0.5", prompt=before, instead=True).prompt == (
        "a face<lora:other:1><lora:style:0.5>"
    )
    assert tagged("one/style:0.5", prompt=before).prompt == f"{before}<lora:style:0.5>"


@pytest.mark.parametrize(
    ("loras", "error", "message"),
    [
        (["one/style", "two/style"], ValueError, "two LoRAs are called 'style'"),
        (["absent/style:1"], ModelFileError, "there is no LoRA 'absent/style'"),
        ([r"C:\style.safetensors:1"], ModelFileError, "there is no LoRA"),
        (["na<me"], ValueError, "may not have"),
    ],
)
def test_what_cannot_be_used_is_refused(
    folder: Path, loras: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tagged(*loras)


def test_paths_of_a_batch_are_relative_to_its_file(folder: Path) -> None:
    assert named_files(["style:0.5", "other"], folder / "one") == (
        f"{folder / 'one' / 'style.safetensors'}:0.5",
        "other:1.0",
    )


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("a face", "a face<lora:turbo:1>"),
        ("a face<lora:other:0.5>", "a face<lora:other:0.5><lora:turbo:1>"),
        ("a face<lora:turbo:0.5>", "a face<lora:turbo:0.5>"),
        ("a face<lora:turbo:0>", "a face<lora:turbo:0>"),
    ],
)
def test_a_preset_s_lora_has_weight_1_where_the_prompt_does_not_say_another(
    tmp_path: Path, prompt: str, made: str
) -> None:
    path = tmp_path / "weights.safetensors"
    picture = with_preset_loras(GenerationOptions(prompt), (("turbo", path),))
    assert picture.prompt == made
    assert picture.lora_files == (("turbo", path),)
    assert with_preset_loras(picture, (("turbo", path),)) == picture
    # Where a picture is made again, its own file of that name counts.
    own = GenerationOptions(prompt, lora_files=(("turbo", "own"),))
    assert with_preset_loras(own, (("turbo", path),)).lora_files == (("turbo", "own"),)
    assert with_preset_loras(own, ()) is own
