from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.options.second_pass import (
    HIRES_UPSCALERS,
    encodes_a_picture,
    is_upscaling_model,
    reads_pictures,
)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, (1024, 768)),
        ({"hires_scale": 1.5}, (768, 576)),
        ({"hires_scale": 1.1}, (576, 432)),  # 563.2 and 422.4, up to multiples of 16
        ({"hires_width": 640}, (640, 640)),
        ({"hires_height": 640}, (640, 640)),
        ({"hires_width": 640, "hires_height": 480, "hires_scale": 4.0}, (640, 480)),
    ],
)
def test_sizes(given: dict[str, Any], size: tuple[int, int]) -> None:
    picture = GenerationOptions("", width=512, height=384, hires=True, **given)
    assert picture.second_size == picture.made_size == size


def test_without_it_its_options_mean_nothing() -> None:
    plain = GenerationOptions("")
    assert plain.second_size is None
    assert plain.made_size == (512, 512)
    assert GenerationOptions("", hires_scale=100.0, hires_steps=5) == plain
    assert GenerationOptions("", hires=True, hires_upscaler="None", hires_steps=5) == plain


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hires_scale": 0.0}, "a width of 0"),
        ({"hires_scale": 8.1}, "a width of 4160"),
        ({"hires_width": 100}, "multiple of 16"),
        ({"hires_denoising_strength": 0.0}, "from 0.01 to 1"),
        ({"hires_upscaler": " "}, "hires_upscaler is empty"),
        ({"scheduler": "gits", "steps": 2, "hires_steps": 1, "hires_denoising_strength": 1.0},
         "hires_steps is too few for the gits"),
        ({"scheduler": "karras", "steps": 2, "hires_steps": 1, "hires_denoising_strength": 1.0},
         "hires_steps is too few for the karras"),
    ],
)  # fmt: skip
def test_what_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GenerationOptions("", hires=True, **given)


def test_what_an_upscaler_needs() -> None:
    assert [name for name in HIRES_UPSCALERS if is_upscaling_model(name)] == []
    assert [name for name in HIRES_UPSCALERS if encodes_a_picture(name)] == ["Lanczos", "Nearest"]
    assert is_upscaling_model("4x-UltraSharp")
    assert encodes_a_picture("4x-UltraSharp")
    assert reads_pictures({"hires": True, "hires_upscaler": "Lanczos"})
    assert not reads_pictures({"hires": True})
    assert not reads_pictures({"hires_upscaler": "Lanczos"})
    assert reads_pictures({"init_image": "a.png"})
    assert reads_pictures({"control_image": "a.png"})


def test_edges_are_found_in_a_picture_only() -> None:
    with pytest.raises(ValueError, match="canny is given without control_image"):
        GenerationOptions("", canny=True)
    assert GenerationOptions("", canny=True, control_image="a.png").canny
