"""LoRA tags: what is one, what only looks like one, and which file is meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.model_files.lora_tags import (
    LoraTag,
    PromptLora,
    check_no_lora_tags,
    find_lora,
    prompt_loras,
    read_lora_tags,
)


@pytest.mark.parametrize(
    ("prompt", "rest", "tags"),
    [
        ("a cat", "a cat", []),
        ("a <lora:x> cat", "a  cat", [LoraTag("x")]),
        ("a<lora:sub/x:0.5>, <lora:y:-1e1>", "a, ", [LoraTag("sub/x", 0.5), LoraTag("y", -10)]),
        ("<lora:x:0><lora:x:.5>", "", [LoraTag("x", 0), LoraTag("x", 0.5)]),
        ("1 < 2 and <3, the flora: <b>", "1 < 2 and <3, the flora: <b>", []),
    ],
)
def test_tags_are_taken_out(prompt: str, rest: str, tags: list[LoraTag]) -> None:
    assert read_lora_tags(prompt) == (rest, tags)


@pytest.mark.parametrize(
    "tag",
    ["<lora:x:>", "<lora::1>", "<lora:>", "<lora:x:1:0.5>", "<lora:x:0,5>", "<lora:x:nan>",
     "<lora:x:inf>", "<lora:x:3e38>", "<lora:x:1_0>", "<lora:x:101>", "<LORA:x:1>", "< lora:x:1>",
     "<lora :x:1>", "<lyco:x:1>", "<LyCORIS : x>", "\uff1clora:x:1\uff1e", "<lora\uff1ax:1>",
     "<\u200blora:x:1>", "<lora\ufeff:x:1>", "<lora:x", "<lora:<lora:x:1>:1>"],
)  # fmt: skip
def test_what_is_almost_a_tag_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match=r"lora|LORA|lyco|LyCORIS"):
        read_lora_tags(f"a {tag} cat")


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("<lora:x:1e9>", "'<lora:x:1e9>': its weight must be from -100 to 100"),
        ("<lora:x:0,5>", "'<lora:x:0,5>': its weight '0,5' is not a number"),
    ],
)
def test_a_wrong_weight_is_shown_as_typed(tag: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        read_lora_tags(f"a {tag} cat")


@pytest.mark.parametrize("tag", ["<lora:x:1>", "<lora:x>", "\uff1clora:x:1>", "<lyco:x:1>"])
def test_the_negative_prompt_has_none(tag: str) -> None:
    check_no_lora_tags("blurry <3")
    with pytest.raises(ValueError, match="negative prompt"):
        check_no_lora_tags(f"blurry {tag}")


def test_a_long_prompt_is_read_at_once() -> None:
    for text in ("<lora:" * 1600, "<" + " " * 9000, "<lora:x:" * 1200, "<" * 9999):
        try:
            read_lora_tags(text)
        except ValueError as error:
            assert len(str(error)) < 200  # noqa: PT017


def test_a_file_is_found_with_and_without_its_extension(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("plain", "x.safetensors", "x.pt", "sub/y.gguf", "v1.5.safetensors"):
        (tmp_path / name).touch()
    for name, file in (
        ("plain", "plain"), ("x", "x.safetensors"), ("x.pt", "x.pt"), ("sub/y", "sub/y.gguf"),
        ("v1.5", "v1.5.safetensors"), ("sub/../x", "x.safetensors"),
    ):  # fmt: skip
        assert find_lora(name, tmp_path) == tmp_path / file


def test_a_folder_hides_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "style").mkdir()
    (tmp_path / "style.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert find_lora("style", ".") == tmp_path / "style.safetensors"


@pytest.mark.parametrize("name", ["../x", "sub/../../x", "..", "/etc/x", "\\x", "//host/x", "a\0b"])
def test_a_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "loras"
    folder.mkdir()
    (tmp_path / "x.safetensors").touch()
    with pytest.raises(ValueError, match="path out of it"):
        find_lora(name, folder)


@pytest.mark.parametrize("name", ["absent", "x" * 5000, "sub/absent", ".", "\u202e"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="no LoRA") as caught:
        find_lora(name, tmp_path)
    assert len(str(caught.value)) < 400
    assert "\u202e" not in str(caught.value)


def test_the_loras_of_a_prompt_are_tags_with_files(tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    path.touch()
    style = PromptLora("style", 0.5, path)
    prompt = "a <lora:style:0.5> cat <lora:style.safetensors:0>"
    assert prompt_loras(prompt, tmp_path) == [style, PromptLora("style.safetensors", 0.0, path)]
    missing = "<lora:absent> <lora:../out> <lora:style:0.5>"
    with pytest.raises(ModelFileError, match="no LoRA 'absent'"):
        prompt_loras(missing, tmp_path)
    assert prompt_loras(missing, tmp_path, skip_missing=True) == [style]
