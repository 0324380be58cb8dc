"""Where a person is, on the grid of image tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import ImageFileError, Region
from pulid_sdcpp.people.region_weights import token_weights


def test_a_box_in_parts_of_the_picture() -> None:
    weights = token_weights(Region(box=(0.5, 0, 0.5, 1)), 64, 32)
    assert weights.dtype == np.float32
    assert weights.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_a_box_in_pixels_counts_the_part_of_a_token() -> None:
    weights = token_weights(Region(box=(8, 4, 24, 16)), 48, 32)
    across, down = [0.5, 1.0, 0.0], [0.75, 0.25]
    assert weights == pytest.approx(np.outer(down, across))


def test_thirds_meet_without_a_gap_or_an_overlap() -> None:
    boxes = [(third / 3, 0, 1 / 3, 1) for third in range(3)]
    parts = [token_weights(Region(box=box), 96, 16) for box in boxes]
    assert sum(parts).tolist() == [[1.0] * 6]  # type: ignore[union-attr]
    assert [part.nonzero()[1].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]


def test_a_box_may_reach_over_the_edge_in_pixels_only() -> None:
    assert token_weights(Region(box=(16, 0, 999, 999)), 32, 16).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="beyond the picture"):
        Region(box=(0.5, 0, 0.6, 1))


@pytest.mark.parametrize("as_file", [True, False])
def test_a_mask_is_scaled_to_the_picture(as_file: bool, tmp_path: Path) -> None:
    pixels = np.zeros((64, 128), np.uint8)
    pixels[:, :64] = 255
    pixels[32:, 64:] = 51
    mask = Image.fromarray(pixels)
    path = tmp_path / "mask.png"
    mask.save(path)
    weights = token_weights(Region(mask=path if as_file else mask), 32, 32)
    assert weights == pytest.approx(np.array([[1, 0], [1, 0.2]]))


def test_a_faint_mask_is_not_rounded_away() -> None:
    pixels = np.zeros((160, 160), np.uint8)
    pixels[0, 0] = 255
    assert token_weights(Region(mask=Image.fromarray(pixels)), 16, 16)[0, 0] == pytest.approx(
        1 / 160**2
    )


def test_a_region_without_anything_of_the_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is outside the picture.*64x64"):
        token_weights(Region(box=(100, 100, 16, 16)), 64, 64)
    with pytest.raises(ValueError, match="black everywhere"):
        token_weights(Region(mask=Image.new("RGB", (8, 8))), 64, 64)
    with pytest.raises(ImageFileError, match=r"none\.png"):
        token_weights(Region(mask=tmp_path / "none.png"), 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a box or a mask"),
        ({"box": (0, 0, 1, 1), "mask": "a.png"}, "either a box or a mask"),
        ({"box": (0, 0, 1)}, "four numbers"),
        ({"box": (0, 0, 0, 1)}, "no area"),
        ({"box": (-1, 0, 5, 5)}, "box x"),
        ({"box": (0, 0, float("nan"), 5)}, "box width"),
        ({"box": "0,0,1,1"}, "four numbers"),
        ({"mask": ""}, "mask"),
    ],
)
def test_what_is_no_region(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Region(**arguments)  # type: ignore[arg-type]
