"""The numbered picture: boxes where the faces are, numbers that can be read."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pulid_sdcpp.pictures.face_preview import MAX_SIDE_PX, MIN_SIDE_PX, Box, face_preview

YELLOW = (255, 214, 0)
GREY = (90, 90, 90)


def is_yellow(preview: Image.Image) -> NDArray[np.bool_]:
    return (np.asarray(preview) == YELLOW).all(axis=-1)


def drawn(size: tuple[int, int], boxes: list[Box]) -> Image.Image:
    return face_preview(Image.new("RGB", size, GREY), boxes)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((64, 48), (640, 480)), ((300, 400), (480, 640)), ((800, 600), (800, 600)),
        ((4000, 3000), (1024, 768)), ((3000, 40), (1024, 14)),
    ],
)  # fmt: skip
def test_size(size: tuple[int, int], shown: tuple[int, int]) -> None:
    preview = drawn(size, [(1, 1, size[0] / 2, size[1] / 2)])
    assert preview.size == shown
    assert MIN_SIDE_PX <= max(preview.size) <= MAX_SIDE_PX
    assert preview.mode == "RGB"


@pytest.mark.parametrize("size", [(80, 60), (800, 600), (4000, 3000)])
def test_a_box_is_where_the_face_is(size: tuple[int, int]) -> None:
    width, height = size
    preview = drawn(size, [(0.25 * width, 0.5 * height, 0.5 * width, 0.75 * height)])
    found = is_yellow(preview)
    across = np.flatnonzero(found[int(0.7 * preview.height)]) / preview.width
    down = np.flatnonzero(found[:, int(0.4 * preview.width)]) / preview.height
    np.testing.assert_allclose([across.min(), across.max()], [0.25, 0.5], atol=0.006)
    np.testing.assert_allclose([down.min(), down.max()], [0.5, 0.75], atol=0.008)


def labels(preview: Image.Image, numbers: int) -> list[tuple[int, int]]:
    """Left upper corner of each number, found by comparing with the number drawn alone."""
    red = np.asarray(preview)[..., 0].astype(int)
    font = ImageFont.load_default(max(preview.size) / 32)
    places = []
    for number in range(numbers):
        box = ImageDraw.Draw(preview).textbbox((0, 0), str(number), font)
        alone = Image.new("RGB", (int(box[2]) + 1, int(box[3]) + 1), YELLOW)
        ImageDraw.Draw(alone).text((0, 0), str(number), (0, 0, 0), font)
        needle = np.asarray(alone)[..., 0].astype(int)
        height, width = needle.shape
        corners = [
            (int(x), int(y))
            for y, x in np.argwhere(is_yellow(preview))
            if (part := red[y : y + height, x : x + width]).shape == needle.shape
            and np.abs(part - needle).mean() < 3
        ]
        assert len(corners) == 1, f"{number} is at {corners}"
        places += corners
    return places


def test_every_number_can_be_read_beside_its_box_in_order() -> None:
    boxes: list[Box] = [(20, 60, 90, 150), (200, 80, 260, 160), (420, 40, 500, 140)]
    for left, place in zip((20, 200, 420), labels(drawn((640, 300), boxes), 3), strict=True):
        assert abs(place[0] - left) < 12


@pytest.mark.parametrize(
    "boxes",
    [
        [(-30, -30, 40, 40), (600, 360, 700, 500), (300, -10, 360, 30)],  # cut off by the edge
        [(0, 0, 640, 400), (250, 100, 350, 220)],  # one fills the picture, one is in it
        [(100, 100, 130, 140), (132, 100, 162, 140), (164, 100, 194, 140), (100, 142, 130, 180)],
        [(300, 200, 306, 207), (320, 200, 326, 207)],  # smaller than their numbers
    ],
)  # fmt: skip
def test_numbers_stay_on_the_picture_and_off_each_other(boxes: list[Box]) -> None:
    places = labels(drawn((640, 400), boxes), len(boxes))
    assert len(set(places)) == len(boxes)


def test_the_photo_is_not_changed() -> None:
    photo = Image.new("L", (700, 500), 90)
    before = photo.tobytes()
    face_preview(photo, [(10, 10, 60, 60)])
    assert (photo.mode, photo.tobytes()) == ("L", before)
