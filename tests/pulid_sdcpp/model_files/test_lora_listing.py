"""`models loras`: names, sizes, what they fit, and words that trigger them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.flags.completions import complete_lora
from pulid_sdcpp.model_files.lora_listing import (
    PUBLISHED,
    list_loras,
    lora_folders_below,
    lora_names,
)
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

FREQUENCY = json.dumps({"1_a": {"ink style": 9, "lines": 3}, "2_b": {"lines": 7, " ": 1}})


def lora(path: Path, width: int = 3072, **metadata: str) -> Path:
    specs = []
    for part, shape in (("A", (2, width)), ("B", (3 * width, 2))):
        name = f"diffusion_model.double_blocks.0.img_attn.qkv.lora_{part}.weight"
        values = np.ones(shape, np.float16)
        specs.append(TensorSpec(name, shape, "f16", lambda values=values: values))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, specs, metadata)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lora(tmp_path / "loras" / "ink.safetensors", ss_tag_frequency=FREQUENCY)
    lora(tmp_path / "loras" / "sub" / "wide.safetensors", width=128)
    (tmp_path / "loras" / "notes.txt").write_text("no LoRA")
    (tmp_path / "loras" / "broken.safetensors").write_bytes(b"{")
    return tmp_path


def test_the_loras_of_a_folder(folder: Path) -> None:
    ink, wide = list_loras(folder / "loras")
    assert (ink.name, ink.problem, ink.fits) == ("ink", "", (PUBLISHED["flux"],))
    assert ink.size_bytes == (folder / "loras" / "ink.safetensors").stat().st_size
    assert ink.trigger_words == ("lines", "ink style")
    assert (wide.name, wide.fits, wide.trigger_words) == ("sub/wide", (), ())
    assert "of shape (2, 128)" in wide.problem


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": " ink, please "}, ("ink, please",)),
        ({"ss_tag_frequency": "{"}, ()),
        ({"ss_tag_frequency": "[1]"}, ()),
        ({"ss_tag_frequency": '{"a": {"b": "many"}}'}, ()),
        ({"ss_tag_frequency": "[" * 100_000}, ()),
        ({}, ()),
    ],
)
def test_trigger_words(tmp_path: Path, metadata: dict[str, str], words: tuple[str, ...]) -> None:
    lora(tmp_path / "a.safetensors", **metadata)
    assert list_loras(tmp_path)[0].trigger_words == words


def test_folders_of_loras_are_found_in_models_folders(folder: Path) -> None:
    (folder / "comfy" / "models" / "Lora").mkdir(parents=True)
    assert lora_folders_below(folder) == [folder / "comfy" / "models" / "Lora", folder / "loras"]
    assert lora_folders_below(folder / "loras") == [folder / "loras"]
    assert lora_folders_below(folder / "absent") == []


def listed(*arguments: Any) -> str:
    result = CliRunner().invoke(main, ["models", "loras", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_lists_them(folder: Path) -> None:
    text = listed("--models-dir", folder)
    assert f"{folder / 'loras'}:\n" in text
    assert "for Flux, trigger words: lines, ink style\n" in text
    assert "  sub/wide" in text
    assert "for no model: the LoRA's tensor" in text
    assert "for the pocket model" in text
    rows = {row["name"]: row for row in json.loads(listed("--lora-model-dir", folder, "--json"))}
    assert rows["loras/ink"]["fits"] == ["Flux"]
    assert rows["two-people"]["fits"] == ["the pocket model"]


def test_names_are_completed(folder: Path) -> None:
    assert lora_names(folder / "loras") == ["broken", "ink", "sub/wide"]
    context = click.Context(click.Command("generate"))
    context.params["lora_model_dir"] = folder / "loras"
    items = complete_lora(context, None, "in")
    assert [(item.value, item.type) for item in items] == [("in", "file"), ("ink", "plain")]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["models", "loras", "--lora-model-dir", str(tmp_path / "a")])
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr
