"""How PuLID for SDXL adds an identity."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.options.identity_mode import (
    MAX_ID_ZEROS,
    PROJECTIONS,
    IdentityMode,
    IdentityModeOptions,
    has_identity_modes,
    identity_mode,
)


@pytest.mark.parametrize(
    ("encoder", "mode", "expected"),
    [
        ("sdxl-v1", None, ("ortho_v2", 8)),
        ("sdxl-v1", "fidelity", ("ortho_v2", 8)),
        ("sdxl-v1", "style", ("ortho", 16)),
        ("sdxl-v1", "plain", ("none", 0)),
        ("sdxl-v1.1", None, ("ortho_v2", 20)),
        ("sdxl-v1.1", "style", ("ortho", 20)),
        ("sdxl-v1.1", "plain", ("none", 0)),
        ("flux", None, ("none", 0)),
    ],
)
def test_modes_are_those_of_the_official_apps(
    encoder: str, mode: str | None, expected: tuple[str, int]
) -> None:
    assert identity_mode(encoder, mode) == IdentityMode(*expected)
    assert has_identity_modes(encoder) == (encoder != "flux")


def test_what_is_given_beside_a_mode_goes_before_it() -> None:
    assert identity_mode("sdxl-v1", "style", id_zeros=0) == IdentityMode("ortho", 0)
    assert identity_mode("sdxl-v1.1", None, "none", 80) == IdentityMode("none", 80)


@pytest.mark.parametrize(
    "given", [{"id_mode": "plain"}, {"id_projection": "none"}, {"id_zeros": 0}]
)
def test_flux_has_no_modes(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=rf"^{name} is .*only PuLID for SDXL has it"):
        identity_mode("flux", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id_mode": "Fidelity"}, "must be one of fidelity, style, plain"),
        ({"id_projection": "v2"}, "must be one of none, ortho, ortho_v2"),
        ({"id_zeros": -1}, "must be from 0 to 80"),
        ({"id_zeros": MAX_ID_ZEROS + 1}, "must be from 0 to 80"),
        ({"id_zeros": 8.0}, "must be a whole number"),
        ({"id_zeros": True}, "must be a whole number"),
    ],
)
def test_values_that_cannot_be_are_named(given: dict[str, Any], message: str) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=rf"^{name} is .*{re.escape(message)}"):
        IdentityModeOptions(**given)


def test_a_picture_has_them_and_the_binding_does_not() -> None:
    picture = GenerationOptions("p", id_mode="style", id_projection="none", id_zeros=3)
    assert (picture.id_mode, picture.id_projection, picture.id_zeros) == ("style", "none", 3)
    assert not {"id_mode", "id_projection", "id_zeros"} & picture.to_engine_kwargs().keys()
    with pytest.raises(ValueError, match="id_zeros is 81, but must be from 0 to 80"):
        GenerationOptions("p", id_zeros=81)


def test_projections_have_the_engine_s_numbers() -> None:
    assert [PROJECTIONS.index(name) for name in ("none", "ortho", "ortho_v2")] == [0, 1, 2]
