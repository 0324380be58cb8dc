"""Two people in one picture, through the engine: each in his half, and who he is.

The people are drawn from seeds that no training uses; who judges is a recogniser that extraction
does not use.
"""

from __future__ import annotations

import os
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from long_form import times  # noqa: E402
from pocket.two_people_figures import PairPicture, draw_pairs, unseen_portraits  # noqa: E402
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, pocket_files  # noqa: E402

# Of a few of the pairs that the figures in docs/pocket.md are of, so with some room.
MIN_LIKENESS = 0.7
MIN_LIKENESS_OF_ANYBODY = 0.4
MAX_LIKENESS_OF_OTHERS = 0.2
MAX_CHANGE_BESIDE = 4.0
"""Of 255, in the half of the one who stays when the other is another."""
MIN_CHANGE = 15.0
MAX_SEAM = 6.0
"""Of 255, between the columns where the halves meet, near the upper edge."""
MIN_PROMPT_ADHERENCE = 0.85

PAIRS = times(((0, 1), (1, 0), (0, 2)), ((0, 1), (1, 0), (2, 3), (0, 2)))
PROMPTS = times((0,), (0, 1, 2, 3))
N_PEOPLE = 1 + max(max(pair) for pair in PAIRS)
SEAM = 128
SKY_PX = 24

pytestmark = [
    pytest.mark.engine,
    pytest.mark.extract,
    pytest.mark.long,
    pytest.mark.skipif(
        not (PACK_FOLDER / MANIFEST_NAME).is_file()
        and os.environ.get("PULID_REQUIRE_POCKET") != "1",
        reason="the pocket model is not in this folder",
    ),
]


@pytest.fixture(scope="module")
def pictures() -> list[PairPicture]:
    return draw_pairs(pocket_files(), unseen_portraits(N_PEOPLE), list(product(PAIRS, PROMPTS)))


def test_each_half_shows_its_own_person_and_not_the_other(pictures: list[PairPicture]) -> None:
    own, other = (np.array([getattr(each, name) for each in pictures]) for name in ("own", "other"))
    print(f"likeness {own.mean():.3f}, at least {own.min():.3f}")
    print(f"likeness of the other {other.mean():.3f}, at most {other.max():.3f}")
    assert own.mean() >= MIN_LIKENESS
    assert own.min() >= MIN_LIKENESS_OF_ANYBODY
    assert other.mean() <= MAX_LIKENESS_OF_OTHERS


def test_who_changes_places_is_recognised_there(pictures: list[PairPicture]) -> None:
    """Of four people, too: the pairs have each other's halves."""
    assert {(0, 1), (1, 0)} <= {picture.pair for picture in pictures}
    for picture in pictures:
        assert tuple(picture.likeness.argmax(axis=1)) == picture.pair


def test_who_is_in_the_other_half_hardly_matters(pictures: list[PairPicture]) -> None:
    beside, changed = [], []
    for prompt in PROMPTS:
        one, two = (pixels_of(pictures, pair, prompt) for pair in ((0, 1), (0, 2)))
        change = np.abs(one - two).mean(axis=(0, 2))
        beside.append(change[:SEAM].mean())
        changed.append(change[SEAM:].mean())
    print(f"change of 255: beside {np.mean(beside):.1f}, in the other half {np.mean(changed):.1f}")
    assert max(beside) <= MAX_CHANGE_BESIDE
    assert min(changed) >= MIN_CHANGE


def test_prompt_and_background_are_one_for_both(pictures: list[PairPicture]) -> None:
    halves = [half for picture in pictures for pair in picture.read.values() for half in pair]
    print(f"read back {np.mean(halves):.3f}")
    assert np.mean(halves) >= MIN_PROMPT_ADHERENCE
    for picture in pictures:
        sky = picture.pixels[:SKY_PX, SEAM - 1 : SEAM + 1].astype(float)
        assert np.abs(np.diff(sky, axis=1)).mean() <= MAX_SEAM


def pixels_of(
    pictures: list[PairPicture], pair: tuple[int, int], prompt: int
) -> NDArray[np.float64]:
    (found,) = (each for each in pictures if (each.pair, each.prompt) == (pair, prompt))
    return found.pixels.astype(np.float64)
