"""Skip-layer guidance that would have no effect, or a wrong one, is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.options.layer_guidance import check_layers


def options(**given: Any) -> GenerationOptions:
    return GenerationOptions("a face", **{"slg_scale": 2.5, "steps": 20, **given})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"steps": 4, "skip_layer_end": 1},
        {"steps": 1, "skip_layer_end": 1},
        {"skip_layers": (0,), "cache_mode": "spectrum"},
        {"slg_scale": 0, "steps": 4},  # off
        {"slg_scale": 0, "skip_layers": (), "cache_mode": "easycache"},
    ],
)
def test_what_a_step_has_is_taken(given: dict[str, Any]) -> None:
    options(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 4}, "no step of 4 is between skip_layer_start 0.01 and skip_layer_end 0.2"),
        ({"skip_layer_start": 0.5}, "no step of 20"),
        ({"init_image": "a.png", "strength": 0.1}, "no step of 3"),
        ({"skip_layers": ()}, "skip_layers names no layer"),
        ({"skip_layers": (-1,)}, "skip_layers is -1"),
        ({"skip_layers": (1.5,)}, "skip_layers is 1.5"),
        ({"cache_mode": "easycache"}, "cache_mode 'easycache' would mix"),
    ],
)
def test_what_would_have_no_effect_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**given)


def test_layers_are_those_of_the_model() -> None:
    check_layers((0, 7), 8)
    with pytest.raises(ValueError, match="skip_layers has 8, but this model has the layers 0 to 7"):
        check_layers((7, 8), 8)
