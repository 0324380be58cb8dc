"""A mask is inverted and blurred as A1111's clients ask."""

import io

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.server.bodies.mask_change import MaskChange


def png_of(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


HALF = np.zeros((32, 64), np.uint8)
HALF[:, 32:] = 255


def test_nothing_is_the_same_file():
    png = png_of(HALF)
    assert MaskChange().of(png) is png


def test_inverted():
    assert (pixels_of(MaskChange(invert=True).of(png_of(HALF))) == 255 - HALF).all()


@pytest.mark.parametrize("invert", [False, True])
def test_blurred_after_it_is_inverted(invert: bool):
    blurred = pixels_of(MaskChange(invert, blur_px=4).of(png_of(HALF)))
    assert blurred.shape == HALF.shape
    row = blurred[16].astype(int) if not invert else 255 - blurred[16].astype(int)
    assert row[0] == 0
    assert row[-1] == 255
    assert (np.diff(row) >= 0).all()
    assert 0 < row[31] < row[32] < 255
