from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from pulid_sdcpp.evaluation.picture_agreement import (
    LUMA,
    WINDOW_RADIUS_PX,
    agreement_outside,
    mean_difference,
    ssim_map,
)

Picture = NDArray[np.uint8]


@pytest.fixture
def pair() -> tuple[Picture, Picture]:
    """Two pictures that are alike, 40 x 56."""
    rng = np.random.default_rng(7)
    first = rng.integers(0, 256, (40, 56, 3), np.uint8)
    noise = rng.normal(0, 40, first.shape)
    return first, np.clip(first + noise, 0, 255).astype(np.uint8)


def test_ssim_is_that_of_scikit_image(pair: tuple[Picture, Picture]) -> None:
    grey = [picture.astype(np.float64) @ LUMA for picture in pair]
    _, expected = structural_similarity(
        *grey,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    difference = np.abs(ssim_map(*pair) - expected).max()
    print(f"largest difference {difference:.1e}")
    assert difference < 1e-9  # both in float64; variances cancel four of 16 digits


def test_the_same_picture_agrees(pair: tuple[Picture, Picture]) -> None:
    found = agreement_outside(pair[0], pair[0], np.zeros((40, 56), bool))
    assert (found.mean_difference, found.outside) == (0, 1)
    assert found.ssim == pytest.approx(1, abs=1e-12)


def test_the_difference_is_the_mean_over_pixels_and_channels(
    pair: tuple[Picture, Picture],
) -> None:
    where = np.zeros((40, 56), bool)
    where[3, 4] = where[9, 50] = True
    expected = np.mean(
        [
            abs(int(a) - int(b))
            for y, x in ((3, 4), (9, 50))
            for a, b in zip(pair[0][y, x], pair[1][y, x], strict=True)
        ]
    )
    assert mean_difference(*pair, where) == pytest.approx(expected)


def test_what_happens_in_the_head_does_not_count(pair: tuple[Picture, Picture]) -> None:
    head = np.zeros((40, 56), bool)
    head[10:20, 10:20] = True
    changed = pair[0].copy()
    changed[head] = 255 - changed[head]
    found = agreement_outside(pair[0], changed, head)
    assert found.mean_difference == 0
    assert found.ssim == pytest.approx(1, abs=1e-12)
    assert found.outside == pytest.approx(1 - 100 / (40 * 56))
    # A pixel beside the head does count, and for the structure one beyond the window.
    changed[30, 30] = 255 - changed[30, 30]
    found = agreement_outside(pair[0], changed, head)
    assert found.mean_difference is not None
    assert found.mean_difference > 0
    assert found.ssim is not None
    assert found.ssim < 1 - 1e-6


def test_structure_is_compared_where_the_window_sees_no_head(
    pair: tuple[Picture, Picture],
) -> None:
    head = np.zeros((40, 56), bool)
    head[20, 0] = True
    r = WINDOW_RADIUS_PX
    clear = np.ones((40, 56), bool)
    clear[20 - r : 20 + r + 1, : r + 1] = False
    expected = ssim_map(*pair)[clear].mean()
    assert agreement_outside(*pair, head).ssim == pytest.approx(expected, abs=1e-12)


def test_a_head_that_fills_the_picture_leaves_nothing(pair: tuple[Picture, Picture]) -> None:
    found = agreement_outside(*pair, np.ones((40, 56), bool))
    assert (found.mean_difference, found.ssim, found.outside) == (None, None, 0)


def test_pictures_of_other_sizes_are_refused(pair: tuple[Picture, Picture]) -> None:
    with pytest.raises(ValueError, match="the same height and width"):
        agreement_outside(pair[0], pair[1][:30], np.zeros((40, 56), bool))
