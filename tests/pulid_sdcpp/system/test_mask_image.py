"""Masks of every form that image editors save, from a file and as a Pillow image."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.system.mask_image import read_mask

SIZE = (24, 16)
INSIDE = np.zeros((16, 24), np.uint8)
INSIDE[4:12, 6:18] = 255


def plain() -> Image.Image:
    return Image.fromarray(INSIDE)


def on_transparent(visible: int, hidden: int, mode: str = "RGBA") -> Image.Image:
    """Painted with one brightness on a transparent layer, whose pixels have another."""
    grey = Image.fromarray(np.where(INSIDE > 0, visible, hidden).astype(np.uint8))
    return Image.merge("LA", (grey, plain())).convert(mode)


def palette() -> Image.Image:
    image = Image.new("P", SIZE)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.putdata((INSIDE // 255).ravel().tolist())
    return image


def palette_with_transparency() -> Image.Image:
    """Both colours are white, the first is transparent."""
    image = palette()
    image.putpalette([255, 255, 255, 255, 255, 255])
    image.info["transparency"] = bytes([0, 255])
    return image


def sixteen_bits() -> Image.Image:
    return Image.fromarray(INSIDE.astype(np.uint16) * 257)


FORMS: dict[str, tuple[Any, str]] = {
    "grey": (plain, "png"),
    "1 bit": (lambda: plain().convert("1"), "png"),
    "RGB": (lambda: plain().convert("RGB"), "png"),
    "JPEG": (lambda: plain().convert("RGB"), "jpg"),
    "CMYK": (lambda: plain().convert("CMYK"), "tiff"),
    "16 bits": (sixteen_bits, "png"),
    "16 bits in a TIFF": (sixteen_bits, "tiff"),
    "opaque": (lambda: plain().convert("RGBA"), "png"),
    "opaque grey": (lambda: plain().convert("LA"), "png"),
    "white on transparent black": (lambda: on_transparent(255, 0), "png"),
    "white on transparent white": (lambda: on_transparent(255, 255), "png"),
    "white on transparent, grey": (lambda: on_transparent(255, 0, "LA"), "png"),
    "white on transparent, WebP": (lambda: on_transparent(255, 255), "webp"),
    "a palette": (palette, "png"),
    "a palette with transparency": (palette_with_transparency, "png"),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_mask_is_the_same_mask(tmp_path: Path, name: str) -> None:
    make, suffix = FORMS[name]
    path = tmp_path / f"mask.{suffix}"
    make().save(path, **({"lossless": True} if suffix == "webp" else {}))
    off = 20 if suffix == "jpg" else 0  # what JPEG does to an edge
    with Image.open(path) as opened:
        for source in (path, opened, make()):
            mask = read_mask(source)
            assert (mask.mode, mask.size) == ("L", SIZE)
            difference = np.abs(np.asarray(mask).astype(int) - INSIDE).max()
            assert difference <= off, type(source)


def test_brightness_and_transparency_are_multiplied() -> None:
    image = Image.new("LA", (3, 1))
    image.putdata([(255, 128), (128, 255), (128, 128)])
    assert list(read_mask(image).tobytes()) == [128, 128, 64]


def test_a_mask_is_turned_upright_like_the_picture_it_masks(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = plain()
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        for source in (tmp_path / "a.png", opened):
            assert read_mask(source).size == SIZE[::-1]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("L", SIZE), "black everywhere"),
        (Image.new("1", SIZE), "black everywhere"),
        (Image.new("RGBA", SIZE, (255, 255, 255, 0)), "black everywhere.*transparent"),
        (on_transparent(0, 255), "black everywhere.*transparent"),
    ],
    ids=["black", "1 bit", "all transparent", "black on transparent"],
)
def test_a_mask_with_nothing_inside_is_refused(
    tmp_path: Path, image: Image.Image, words: str
) -> None:
    image.save(tmp_path / "mask.png")
    with pytest.raises(ImageFileError, match=rf"mask\.png is {words}"):
        read_mask(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=f"the mask is {words}"):
        read_mask(image)


def test_a_photo_with_a_hole_says_two_things(tmp_path: Path) -> None:
    photo = Image.new("RGBA", SIZE, (200, 40, 40, 255))
    ImageDraw.Draw(photo).rectangle((4, 4, 10, 10), fill=(0, 0, 0, 0))
    photo.save(tmp_path / "photo.png")
    with pytest.raises(
        ImageFileError, match=r"photo\.png: expected a mask, found colours and tran"
    ):
        read_mask(tmp_path / "photo.png")
    # What nobody sees does not count: editors leave colours under transparent pixels.
    hidden = on_transparent(255, 0)
    hidden.paste((200, 40, 40, 0), (0, 0, 4, 4))
    assert (np.asarray(read_mask(hidden)) == INSIDE).all()


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_of_32_bits_are_refused_as_their_white_is_unknown(kind: type) -> None:
    with pytest.raises(ValueError, match="expected a mask of 8 or 16 bits"):
        read_mask(Image.fromarray(INSIDE.astype(kind)))


@pytest.mark.parametrize(("level", "word"), [(255, "white"), (128, "of one grey")])
def test_a_mask_of_the_whole_picture_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int, word: str
) -> None:
    Image.new("L", SIZE, level).save(tmp_path / "all.png")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert read_mask(tmp_path / "all.png").getextrema() == (level, level)
    (record,) = caplog.records
    assert f"all.png is {word} everywhere" in record.getMessage()


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    for path in (tmp_path / "mask.png", tmp_path / "absent.png"):
        with pytest.raises(ImageFileError, match=path.name):
            read_mask(path)
