from __future__ import annotations

import math
from typing import Any

import pytest

from pulid_sdcpp.people.identity_options import IdentityOptions


@pytest.mark.parametrize("weight", [math.nan, -0.1, 5.1, math.inf])
def test_an_identity_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"weight is .*from 0 to 5"):
        IdentityOptions("alice.pulidembd", weight=weight)


@pytest.mark.parametrize("name", ["start_step", "end_step", "cfg_start_step"])
def test_a_negative_step_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is -1"):
        IdentityOptions(**{name: -1})


@pytest.mark.parametrize(
    ("options", "has_effect"),
    [
        ({}, True),
        ({"weight": 0}, False),
        ({"start_step": 4}, False),
        ({"start_step": 3}, True),
        ({"end_step": 0}, False),
        ({"start_step": 2, "end_step": 2}, False),
        ({"start_step": 2, "end_step": 3}, True),
    ],
)
def test_whether_an_identity_has_an_effect(options: dict[str, Any], has_effect: bool) -> None:
    assert IdentityOptions("alice.pulidembd", **options).has_effect(steps=4) is has_effect
    assert not IdentityOptions(None, **options).has_effect(steps=4)


def test_engine_arguments_have_the_bindings_names() -> None:
    identity = IdentityOptions("alice.pulidembd", 0.9, 1, 3).to_engine_kwargs()
    assert identity["pulid_id_weight"] == 0.9
    assert (identity["pulid_start_step"], identity["pulid_end_step"]) == (1, 3)
