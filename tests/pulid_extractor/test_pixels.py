"""Pictures moved and resized without OpenCV, to a grey level as it does it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from pulid_extractor.align import FFHQ_TEMPLATE
from pulid_extractor.pixels import (
    dilated,
    grey_of,
    laplacian,
    resized_area,
    resized_lanczos,
    resized_linear,
    warped,
    warped_mask,
)
from pulid_extractor.robust_similarity import robust_similarity

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def picture() -> Picture:
    pixels: Picture = skimage.data.astronaut()[:, :400]
    return pixels


def assert_same(found: Picture, expected: Picture, share: float) -> None:
    """Of so many numbers at most, one is rounded to the level beside it."""
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected)
    print(f"greatest difference {difference.max()}, in {(difference > 0).mean():.2%}")
    assert difference.max() <= 1
    assert (difference > 0).mean() < share


MATRICES = [
    np.array([[s * np.cos(a), -s * np.sin(a), x], [s * np.sin(a), s * np.cos(a), y]])
    for s, a, x, y in ((1.0, 0.0, 0, 0), (2.3, 0.4, -120, 30), (0.3, -2.0, 90.5, 220.25))
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_warped(picture: Picture, matrix: NDArray[np.float64]) -> None:
    border = (132, 133, 135)
    expected = cv2.warpAffine(
        picture, matrix, (512, 300), borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    # OpenCV before 5 looks between pixels at 32 places.
    share = 0.01 if int(cv2.__version__.split(".")[0]) >= 5 else 1
    assert_same(warped(picture, matrix, (512, 300), border), expected, share)


def test_a_matrix_without_an_inverse_gives_one_colour(picture: Picture) -> None:
    assert len(np.unique(warped(picture, np.zeros((2, 3)), (9, 9)).reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("size", [(825, 754), (399, 511), (110, 87), (31, 64)])
def test_resized(picture: Picture, size: tuple[int, int]) -> None:
    assert_same(resized_linear(picture, size), cv2.resize(picture, size), 0.2)
    expected = cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4)
    # OpenCV has weights of 11 bits.
    assert_same(resized_lanczos(picture, size), expected, 0.2)
    if size[0] < 400:
        expected = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        assert_same(resized_area(picture, size), expected, 0.1)


def test_grey_and_its_laplacian(picture: Picture) -> None:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert_same(grey_of(picture), grey, 0.01)
    np.testing.assert_array_equal(
        laplacian(grey), cv2.Laplacian(grey.astype(np.float64), cv2.CV_64F)
    )


def test_masks() -> None:
    mask = np.zeros((200, 300), bool)
    mask[50:60, 100:130] = mask[0, 0] = mask[199, 299] = True
    for radius in (1, 5, 12, 31):
        side = 2 * radius + 1
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        expected = cv2.dilate(mask.astype(np.uint8), brush)
        assert (dilated(mask, radius) == expected).all()
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    for matrix in MATRICES:
        expected = cv2.warpAffine(mask.astype(np.uint8), matrix, (250, 220), flags=flags)
        # A place in the middle of two pixels is rounded to one of them.
        assert (warped_mask(mask, matrix, (250, 220)) != expected).mean() < 0.001


def test_landmarks_that_do_not_agree() -> None:
    """The same pairs are tried, and the same points kept: 500 faces, one point far off in some."""
    rng = np.random.default_rng(0)
    greatest = 0.0
    for number in range(500):
        angle = rng.uniform(-3, 3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = FFHQ_TEMPLATE * rng.uniform(0.1, 3) @ turn.T + rng.uniform(0, 300, 2)
        points += rng.normal(0, rng.choice([0.5, 3, 20]), (5, 2))
        if number % 3 == 0:
            points[rng.integers(5)] += rng.normal(0, 100, 2)
        points = points.astype(np.float32)
        target = FFHQ_TEMPLATE.astype(np.float32)
        expected = cv2.estimateAffinePartial2D(points, target, method=cv2.LMEDS)[0]
        found = robust_similarity(points, target)
        assert found is not None
        places = np.column_stack([points, np.ones(5)])
        greatest = max(greatest, np.abs(places @ expected.T - places @ found.T).max())
    print(f"greatest difference {greatest:.1e} pixels of 512")
    assert greatest < 0.05
