from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp.options.generation import (
    MAX_SEED,
    SAMPLING_METHODS,
    SCHEDULERS,
    GenerationOptions,
)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("width", 0, ["width is 0", "from 16 to 4096"]),
        ("width", -64, ["width is -64"]),
        ("height", 500, ["height is 500", "multiple of 16", "496 or 512"]),
        ("height", 4112, ["height is 4112", "4096"]),
        ("width", 10**12, ["width is 1000000000000"]),
        ("width", 512.0, ["512.0", "whole number"]),
        ("width", True, ["True", "whole number"]),
        ("steps", 0, ["steps is 0", "from 1 to 1000"]),
        ("steps", 1001, ["steps is 1001"]),
        ("cfg_scale", math.nan, ["cfg_scale is nan"]),
        ("cfg_scale", -1.0, ["cfg_scale is -1"]),
        ("guidance", math.inf, ["guidance is inf"]),
        ("guidance", "3.5", ["'3.5'", "a number"]),
        ("sampling_method", "dpm", ["'dpm'", "euler"]),
        ("scheduler", "fast", ["'fast'", "karras"]),
        ("batch_count", 0, ["batch_count is 0", "from 1 to 100"]),
        ("batch_count", 101, ["batch_count is 101"]),
        ("seed", 2**63, ["seed is 9223372036854775808"]),
        ("seed", 10**4000, ["0…, but must be"]),
        ("strength", 1.5, ["strength is 1.5", "from 0 to 1"]),
        ("strength", math.nan, ["strength is nan"]),
        ("eta", -0.5, ["eta is -0.5"]),
        ("clip_skip", 13, ["clip_skip is 13"]),
        ("flow_shift", math.nan, ["flow_shift is nan"]),
        ("sigmas", (1.0,), ["sigmas has 1 value,"]),
        ("sigmas", (1.0, math.nan), ["sigmas is nan"]),
        ("sigmas", (0.5, 1.0), ["must not rise"]),
        ("mask_image", "mask.png", ["mask_image", "init_image"]),
        ("vae_tile_size", (4, 32), ["vae_tile_size is 4"]),
        ("vae_tile_overlap", 0.6, ["vae_tile_overlap is 0.6"]),
        ("vae_relative_tile_size", (math.nan, 1.0), ["vae_relative_tile_size is nan"]),
        ("vae_relative_tile_size", None, ["vae_relative_tile_size is None", "two numbers"]),
        ("vae_tile_size", (32, 32, 32), ["vae_tile_size is", "two numbers"]),
        ("negative_prompt", "a\0b", ["NUL", "position 1"]),
        ("prompt", "x" * 10_001, ["10001 characters", "10000"]),
        ("prompt", "\udc80", ["not valid Unicode"]),
        ("prompt", b"bytes", ["must be text"]),
    ],
)
def test_a_value_the_engine_cannot_take_is_refused_by_name(
    name: str, value: Any, words: list[str]
) -> None:
    with pytest.raises(ValueError, match=words[0]) as caught:
        GenerationOptions(**{"prompt": "a face", name: value})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 16),
        ("width", 4096),
        ("width", np.int64(512)),
        ("seed", MAX_SEED),
        ("seed", -1),
        ("cfg_scale", 0),
        ("strength", np.float32(0.5)),
        ("sigmas", (1.0, 0.5, 0.0)),
        ("vae_tile_size", (32, 64)),
    ],
)
def test_values_at_the_edge_are_taken(name: str, value: Any) -> None:
    GenerationOptions(**{"prompt": "", name: value})


def test_engine_arguments_have_the_bindings_names() -> None:
    picture = GenerationOptions(
        "p", steps=4, sigmas=(1.0, 0.5), vae_tile_size=(32, 16), ref_images=[Path("a.png")]
    ).to_engine_kwargs()
    assert (picture["sample_steps"], picture["sample_method"]) == (4, "euler")
    assert "steps" not in picture
    assert (picture["eta"], picture["flow_shift"]) == (math.inf, math.inf)
    assert (picture["sigmas"], picture["vae_tile_size"]) == ("1.0,0.5", "32x16")
    assert picture["ref_images"] == ["a.png"]


def test_a_number_of_more_digits_than_python_writes_is_refused_as_any() -> None:
    with pytest.raises(ValueError, match="too long to show, but must be"):
        GenerationOptions("p", seed=10**5000)


def test_a_random_seed_is_fixed_once() -> None:
    fixed = {GenerationOptions("p", seed=-1).with_fixed_seed().seed for _ in range(8)}
    assert len(fixed) > 1
    assert all(0 <= seed < 2**32 for seed in fixed)
    options = GenerationOptions("p", seed=7, batch_count=3)
    assert options.with_fixed_seed() is options
    assert options.seeds == (7, 8, 9)
    with pytest.raises(ValueError, match="random"):
        _ = GenerationOptions("p", seed=-1).seeds


def test_the_last_seed_of_a_batch_must_fit() -> None:
    with pytest.raises(ValueError, match="last seed"):
        GenerationOptions("p", seed=MAX_SEED, batch_count=2)


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GenerationOptions("p").steps = 0  # type: ignore[misc]


def test_names_are_the_ones_the_binding_knows() -> None:
    vendored = pytest.importorskip("pulid_sdcpp._vendor.stable_diffusion_cpp.stable_diffusion")
    assert set(SAMPLING_METHODS) == set(vendored.SAMPLE_METHOD_MAP) - {
        "default",
        "sample_method_count",
    }
    assert set(SCHEDULERS) == set(vendored.SCHEDULER_MAP) - {"scheduler_count"}
