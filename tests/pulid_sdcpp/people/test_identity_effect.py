"""A person who is asked for is in the picture, or it is an error that names the number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import GenerationOptions, Person, Region
from pulid_sdcpp.people.identity_effect import check_takes_part

FOUR = GenerationOptions("", width=64, height=64, steps=4)
PICTURE = Image.new("RGB", (64, 64))


def check(
    generation: GenerationOptions = FOUR, cfg_start_step: int | None = None, **person: Any
) -> None:
    check_takes_part(Person("a.pulidembd", **person), generation, cfg_start_step)


@pytest.mark.parametrize(
    ("options", "person", "message"),
    [
        ({}, {"start_step": 4}, "start step 4, but there are 4 steps: 0 to 3"),
        ({}, {"start_step": 99}, "start step 99, but there are 4 steps"),
        ({}, {"start_step": 1.0}, "start step 1 is step 4, but there are 4 steps"),
        ({"steps": 1}, {"start_step": 1}, "there is 1 step: 0"),
        ({"sigmas": (1.0, 0.5, 0.0)}, {"start_step": 2}, "there are 2 steps: 0 to 1"),
        ({"init_image": PICTURE, "strength": 0.5}, {"start_step": 3}, "with strength 0.5"),
        ({}, {"end_step": 0}, "start step 0 and end step 0"),
        ({}, {"start_step": 3, "end_step": 2}, "start step 3 and end step 2"),
        ({}, {"start_step": 0.5, "end_step": 0.25}, "is step 2 and end step 0.25 is step 1"),
        ({"sigmas": (1.0, 0.5, 0.5, 0.0)}, {"start_step": 1, "end_step": 2}, "sigmas"),
        ({"sigmas": (1.0, 0.0, 0.0)}, {"start_step": 1}, "sigmas"),
        ({"sigmas": (1.0, 1e-7, 0.0)}, {"start_step": 1}, "sigmas"),
        ({"scheduler": "discrete"}, {"start_step": 3}, "in the last step alone, number 3"),
        (
            {"scheduler": "karras", "init_image": PICTURE, "strength": 0.01},
            {},
            "in the last step alone, number 0",
        ),
        ({"cfg_scale": 0.0}, {"start_step": 1}, "cfg_scale is 0"),
    ],
)
def test_a_person_in_no_step_is_refused(
    options: dict[str, Any], person: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check(replace(FOUR, **options), **person)
    check(replace(FOUR, **options), **person, weight=0.0)  # says that nobody is meant


def test_a_weight_that_shows_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="weight 1e-09 is so small"):
        check(weight=1e-9)
    check(weight=0.001)


def test_the_last_step_made_is_one() -> None:
    check(start_step=3)
    check(start_step=0.75)
    check(start_step=3, end_step=99)
    check(replace(FOUR, sigmas=(1.0, 0.9, 0.7, 0.5, 0.3, 0.0)), start_step=4)
    started = replace(FOUR, init_image=PICTURE, strength=0.5)
    check(started, start_step=started.evaluated_steps - 1)
    # Without true CFG in it, the first step is the person's even where the scale is 0.
    check(replace(FOUR, cfg_scale=0.0))
    with pytest.raises(ValueError, match="cfg_scale is 0"):
        check(replace(FOUR, cfg_scale=0.0), cfg_start_step=0)


def mask(white: int, side: int = 64, level: int = 255) -> Image.Image:
    pixels = np.zeros((side, side), np.uint8)
    pixels[:white, :white] = level
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(box=(0, 0, 0.2, 1)), r"12\.8x64 pixels of 64x64, .* needs 16x16"),
        (Region(box=(0, 0, 1, 0.01)), r"64x0\.64 pixels"),
        (Region(box=(60, 0, 32, 32)), "4x32 pixels"),
        (Region(box=(500, 0, 16, 16)), "is outside the picture"),
        (Region(mask=mask(4)), "white of 16 pixels in 64x64"),
        (Region(mask=mask(64, level=1)), r"white of 16\.1 pixels"),
    ],
)
def test_a_region_of_less_than_an_image_token_is_refused(region: Region, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(region=region)
    check(region=region, weight=0.0)


def test_a_mask_that_is_nearly_black_is_refused() -> None:
    """What has labels 0 and 1 looks like a mask to nobody but its maker."""
    large = replace(FOUR, width=512, height=512)
    with pytest.raises(ValueError, match="nearly black, 1 of 255"):
        check(large, region=Region(mask=mask(64, level=1)))
    check(large, region=Region(mask=mask(64, level=64)))


def test_a_region_of_one_image_token_is_one() -> None:
    check(region=Region(box=(0, 0, 16, 16)))
    check(region=Region(box=(8, 8, 16, 16)))
    check(region=Region(box=(0, 0, 1 / 4, 1 / 4)))
    check(region=Region(mask=mask(16)))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 2, 1), "2x1 pixels, but a person needs 16x16"),
        ((0, 0, 512, 1), "512x1 pixels"),
        ((0.5, 0, 256, 512), "mixes shares of the picture and pixels"),
        ((0, 0, 0.5, 512), "mixes shares of the picture and pixels"),
    ],
)
def test_a_box_that_was_meant_in_parts_is_refused_with_a_hint(box: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}.*\\(0, 0, 1, 1\\) is all of it"):
        Region(box=box)


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"scheduler": "discrete"}, 2),
        ({"scheduler": "discrete", "steps": 1}, 0),
        ({"scheduler": "discrete", "flow_shift": 5.0}, 3),
        ({"scheduler": "flux"}, 3),
        ({"scheduler": "simple"}, 3),
    ],
)
def test_a_last_step_that_changes_something_is_enough(options: dict[str, Any], start: int) -> None:
    check(replace(FOUR, **options), start_step=start)


def test_a_region_in_which_nothing_may_change_is_refused() -> None:
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:, 32:] = 255
    right = replace(FOUR, init_image=PICTURE, mask_image=Image.fromarray(pixels))
    with pytest.raises(ValueError, match="allows no change"):
        check(right, region=Region(box=(0, 0, 0.5, 1)))
    check(right, region=Region(box=(0.25, 0, 0.5, 1)))
    check(right)


def test_sdxl_s_own_schedules_and_grid() -> None:
    encoders = ("sdxl-v1",)
    last = Person("a.pulidembd", start_step=3)
    with pytest.raises(ValueError, match="take the scheduler sgm_uniform"):
        check_takes_part(last, replace(FOUR, scheduler="karras"), None, encoders=encoders)
    check_takes_part(last, replace(FOUR, scheduler="sgm_uniform"), None, encoders=encoders)
    narrow = Person("a.pulidembd", region=Region(box=(0, 0, 16, 64)))
    check_takes_part(narrow, FOUR, None)
    with pytest.raises(ValueError, match="needs 32x32"):
        check_takes_part(narrow, FOUR, None, encoders=encoders)
    # True CFG is in SDXL's first step, too.
    with pytest.raises(ValueError, match="cfg_scale is 0"):
        check_takes_part(
            Person("a.pulidembd"), replace(FOUR, cfg_scale=0.0), None, encoders=encoders
        )
