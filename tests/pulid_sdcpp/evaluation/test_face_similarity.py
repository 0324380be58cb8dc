"""The formulas against their definitions: pair by pair, and by the curve itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from pulid_sdcpp.evaluation.face_similarity import (
    FaceSimilarity,
    area_under_curve,
    cosine_similarities,
    summarise_similarity,
)


def area_by_trapezoids(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """The ROC curve drawn threshold by threshold, and the area under it."""
    area, before = 0.0, (0.0, 0.0)
    for threshold in sorted({*positives, *negatives}, reverse=True):
        x, y = (negatives >= threshold).mean(), (positives >= threshold).mean()
        area += (x - before[0]) * (y + before[1]) / 2
        before = (x, y)
    return area


@pytest.mark.parametrize("decimals", [8, 1, 0])  # few decimals: many ties
def test_the_area_is_that_of_the_curve(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    positives = rng.normal(0.7, 1, 37).round(decimals)
    negatives = rng.normal(0, 1, 53).round(decimals)
    area = area_under_curve(positives, negatives)
    pairs = [(p > n) + (p == n) / 2 for p, n in itertools.product(positives, negatives)]
    # Sums of about 2,000 numbers of order 1 in float64.
    assert area == pytest.approx(np.mean(pairs), abs=1e-12)
    assert area == pytest.approx(area_by_trapezoids(positives, negatives), abs=1e-12)


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [
        ([2, 3], [0, 1], 1.0),
        ([0, 1], [2, 3], 0.0),
        ([1, 1], [1, 1, 1], 0.5),
        ([1], [], None),
        ([], [1], None),
    ],
)
def test_the_area_of_plain_cases(
    positives: list[float], negatives: list[float], area: float | None
) -> None:
    assert area_under_curve(positives, negatives) == area


def test_cosine_is_that_of_the_angle_whatever_the_lengths() -> None:
    angles = np.radians([0, 30, 90, 180])
    arrows = np.column_stack([np.cos(angles), np.sin(angles)]) * [[1], [20], [0.1], [5]]
    found = cosine_similarities(arrows, [[22.0, 0.0]])
    np.testing.assert_allclose(found[:, 0], [1, np.sqrt(3) / 2, 0, -1], atol=1e-15)


def test_no_face_is_like_nobody() -> None:
    assert cosine_similarities([[0, 0]], [[1, 0], [0, 1]]).tolist() == [[0, 0]]


def test_the_figures_of_a_set_of_results() -> None:
    similarities = [[0.9, 0.1], [0.3, 0.2], [0.0, 0.0]]
    found = summarise_similarity(similarities, [0, 1, 1])
    assert found.mean == pytest.approx((0.9 + 0.2 + 0.0) / 3)
    assert found.std == pytest.approx(np.std([0.9, 0.2, 0.0]))
    assert found.random_mean == pytest.approx((0.1 + 0.3 + 0.0) / 3)
    # Own 0.9, 0.2, 0 against others 0.1, 0.3, 0: 3 + 2 + a tie, of 9.
    assert found.auc == pytest.approx(5.5 / 9)
    # The second is taken for the other person, the third has no face.
    assert found.top_1 == pytest.approx(1 / 3)


def test_one_person_has_no_random_pairs() -> None:
    found = summarise_similarity([[0.5], [0.7]], [0, 0])
    assert (found.mean, found.random_mean, found.auc, found.top_1) == (
        pytest.approx(0.6),
        None,
        None,
        None,
    )


def test_nothing_gives_nothing() -> None:
    nothing = FaceSimilarity(None, None, None, None, None)
    assert summarise_similarity(np.zeros((0, 3)), []) == nothing
