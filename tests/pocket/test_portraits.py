"""The drawn world: the same from the same seed, distinguishable people, exact masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pocket.portraits import (
    Scene,
    caption,
    draw_portrait,
    identity_vector,
    sample_person,
    sample_scene,
)
from pocket.portraits.canvas import LABELS
from pocket.portraits.palette import BACKGROUNDS
from pocket.portraits.people import FRAMES, HAIRSTYLES, IDENTITY_DIM, person_from
from pocket.portraits.scenes import EXPRESSIONS, STYLES

PLAIN = Scene(background=1, expression=0, style=0, shirt=0)


def somebody(seed: int = 3, **changes: object):
    return replace(sample_person(np.random.default_rng(seed)), **changes)


def test_the_same_seed_draws_the_same_pixels() -> None:
    first, second = (
        draw_portrait(sample_person(rng), sample_scene(rng), 96, with_labels=True)
        for rng in (np.random.default_rng(5), np.random.default_rng(5))
    )
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.labels, second.labels)


def test_labels_do_not_change_the_picture() -> None:
    person = somebody()
    with_labels = draw_portrait(person, PLAIN, 64, with_labels=True)
    assert np.array_equal(draw_portrait(person, PLAIN, 64).pixels, with_labels.pixels)


def test_thousands_of_people_are_all_different() -> None:
    rng = np.random.default_rng(0)
    vectors = np.stack([identity_vector(sample_person(rng)) for _ in range(2000)])
    assert vectors.shape == (2000, IDENTITY_DIM)
    products = vectors @ vectors.T
    squares = np.diag(products)
    distances = squares[:, None] + squares[None] - 2 * products
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 0.5


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"eyes": 1}, "eyes"),
        ({"hair": 7}, "hair"),
        ({"beard": 2}, "moustache"),
        ({"mole": 1}, "mole"),
        ({"frames": 2}, "glasses"),
        ({"skin": 0.9}, "skin"),
    ],
)
def test_every_feature_is_seen(change: dict[str, object], part: str) -> None:
    plain = somebody(
        eyes=0, hair=0, beard=0, mole=0, frames=0, skin=0.2, hairstyle=HAIRSTYLES.index("short")
    )
    before = draw_portrait(plain, PLAIN, 128).pixels.astype(int)
    after = draw_portrait(replace(plain, **change), PLAIN, 128).pixels.astype(int)
    plainly = np.abs(after - before).max(axis=2) > 40
    assert plainly.sum() >= 12, f"{part}: {plainly.sum()} pixels changed"


def test_what_cannot_be_seen_is_not_part_of_the_vector() -> None:
    shades = somebody(frames=FRAMES.index("shades"))
    others = replace(shades, eyes=(shades.eyes + 1) % 5)
    assert np.array_equal(
        draw_portrait(shades, PLAIN, 128).pixels, draw_portrait(others, PLAIN, 128).pixels
    )
    assert np.array_equal(identity_vector(shades), identity_vector(others))


def test_a_person_can_be_drawn_from_the_vector_alone() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        person = sample_person(rng)
        vector = identity_vector(person)
        again = person_from(vector)
        assert np.allclose(identity_vector(again), vector, atol=1e-6)
        drawn = [draw_portrait(who, PLAIN, 48).pixels.astype(int) for who in (person, again)]
        # Eyes behind shades still decide where the brows are.
        assert np.abs(drawn[0] - drawn[1]).mean() < 1


@pytest.mark.parametrize("background", range(len(BACKGROUNDS)))
def test_masks_are_exact(background: int) -> None:
    scene = replace(PLAIN, background=background)
    portrait = draw_portrait(somebody(), scene, 128, with_labels=True)
    color = np.array(list(BACKGROUNDS.values())[background])
    inside = portrait.mask("background")
    # The pixels on an edge are mixed; the rest is the background's colour and nothing else.
    assert (np.abs(portrait.pixels[inside] - color).max(axis=1) <= 1).mean() > 0.97
    assert not (portrait.mask("face") & portrait.mask("hair")).any()
    assert not (portrait.mask("head") & inside).any()
    assert set(np.unique(portrait.labels)) <= set(LABELS.values())


def test_a_mask_needs_labels() -> None:
    with pytest.raises(ValueError, match="without labels"):
        draw_portrait(somebody(), PLAIN, 32).mask("face")


def test_landmarks_lie_on_what_they_name() -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        person = replace(sample_person(rng), frames=0, beard=0)
        portrait = draw_portrait(person, sample_scene(rng, style=0), 256, with_labels=True)
        points = np.rint(portrait.landmarks).astype(int)
        names = [portrait.labels[y, x] for x, y in points[:3]]
        assert names == [LABELS["left eye"], LABELS["right eye"], LABELS["nose"]]
        left, top, right, bottom = portrait.box
        assert ((points >= (left, top)) & (points <= (right, bottom))).all()


def test_the_plain_caption_names_the_scene() -> None:
    assert f"{list(BACKGROUNDS)[1]} background" in caption(PLAIN)
    assert EXPRESSIONS[1] in caption(replace(PLAIN, expression=1))
    assert STYLES[2] in caption(replace(PLAIN, style=2))
