from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.options.lora_spec import LoraSpec, parse_lora


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("style", "style", 1),
        ("style:0.8", "style", 0.8),
        ("loras/style.safetensors:-2e-1", "loras/style.safetensors", -0.2),
        (r"C:\x.safetensors:0.8", r"C:\x.safetensors", 0.8),
        (r"C:\x.safetensors", r"C:\x.safetensors", 1),
        ("a:b:.5", "a:b", 0.5),
        ("style:", "style:", 1),
        ("style:much", "style:much", 1),
        (Path("style.safetensors"), "style.safetensors", 1),
    ],
)
def test_a_path_and_a_weight(text: str | Path, path: str, weight: float) -> None:
    assert parse_lora(text) == LoraSpec(path, weight)
    GenerationOptions("a face", loras=(text,))


@pytest.mark.parametrize("text", ["", ":0.5", "style:101", "style:-1e9", 3, None])
def test_what_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="loras"):
        GenerationOptions("a face", loras=(text,))  # type: ignore[arg-type]


def test_loras_are_a_list() -> None:
    with pytest.raises(ValueError, match="must be a list"):
        GenerationOptions("a face", loras="style:0.5")
