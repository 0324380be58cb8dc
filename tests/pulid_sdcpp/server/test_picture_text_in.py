"""The text in a client's picture, read as carefully as its pixels."""

from __future__ import annotations

import base64
import zlib

import pytest
from PIL import Image

from pulid_sdcpp.pictures.png_text import encoded_picture
from pulid_sdcpp.server.bodies.pictures_in import picture_text_from
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits

from .picture_drafts import file_of, noise, png_chunk, png_of_size

TEXT = "a cat ☂\nSteps: 4, Sampler: Euler, Seed: 7, Size: 24x16"


def text_in(value: object) -> str | None:
    return picture_text_from(value, param="image", limits=Limits())


def code_of(value: object) -> str:
    with pytest.raises(ApiError) as caught:
        text_in(value)
    return caught.value.code


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_text_comes_back(suffix: str) -> None:
    content = bytes(encoded_picture(Image.new("RGB", (24, 16)), suffix, TEXT))
    assert text_in(content) == TEXT
    assert text_in("data:image/png;base64," + base64.b64encode(content).decode()) == TEXT


def test_a_picture_may_have_none() -> None:
    assert text_in(file_of(noise())) is None


def test_what_is_no_picture_of_a_size_that_is_taken() -> None:
    assert code_of(b"a text") == "bad_image"
    assert code_of("?") == "bad_base64"
    assert code_of(file_of(noise())[:60]) == "bad_image"
    assert code_of(png_of_size(8193, 8193, rows=1)) == "image_too_large"


def test_a_text_that_unpacks_to_very_much() -> None:
    huge = b"parameters\0\0" + zlib.compress(b"a" * (80 << 20), 9)
    assert code_of(png_of_size(8, 8, png_chunk(b"zTXt", huge))) == "bad_image"
