"""What the engine is told of each person: numbers, and where."""

from __future__ import annotations

import numpy as np
import pytest

from pulid_sdcpp import GenerationOptions, Identity, Person, Region
from pulid_sdcpp.people.identity_use import identity_uses

FACE = Identity(np.ones((3, 4), np.float32), np.full((3, 4), 2, np.float32))
LEFT = Region(box=(0, 0, 0.5, 1))


def test_flux_has_one_grid_and_no_projection() -> None:
    picture = GenerationOptions("p", width=64, height=32)
    ((use,), _) = identity_uses([Person(FACE, region=LEFT)], None, picture, ["flux"])
    assert (use.projection, use.zeros, use.region_coarse) == ("none", 0, None)
    assert use.region is not None
    assert use.region.shape == (2, 4)


@pytest.mark.parametrize(("encoder", "zeros"), [("sdxl-v1", 8), ("sdxl-v1.1", 20)])
def test_sdxl_has_two_grids_and_a_projection_in_both_passes_of_true_cfg(
    encoder: str, zeros: int
) -> None:
    picture = GenerationOptions("p", width=192, height=128, cfg_scale=2)
    uses, first_cfg = identity_uses([Person(FACE, region=LEFT)], None, picture, [encoder])
    assert first_cfg == 1
    assert [use.negative for use in uses] == [False, True]
    for use, tokens in zip(uses, (FACE.tokens, FACE.uncond_tokens), strict=True):
        assert use.tokens is tokens
        assert (use.projection, use.zeros) == ("ortho_v2", zeros)
        assert use.region is not None
        assert use.region_coarse is not None
        assert use.region.tolist() == [[1] * 6 + [0] * 6] * 8
        assert use.region_coarse.tolist() == [[1] * 3 + [0] * 3] * 4


def test_a_coarse_cell_is_the_mean_of_four_fine_ones() -> None:
    picture = GenerationOptions("p", width=128, height=64)
    person = Person(FACE, region=Region(box=(24, 8, 56, 48)))
    ((use,), _) = identity_uses([person], None, picture, ["sdxl-v1"])
    assert use.region is not None
    assert use.region_coarse is not None
    rows, columns = use.region_coarse.shape
    means = use.region.reshape(rows, 2, columns, 2).mean((1, 3))
    assert use.region_coarse == pytest.approx(means, abs=1e-6)


def test_a_second_pass_has_grids_of_its_own_size() -> None:
    picture = GenerationOptions("p", width=128, height=64, hires=True, hires_scale=2)
    uses, _ = identity_uses([Person(FACE, region=LEFT)], None, picture, ["sdxl-v1"])
    shapes = {
        use.second_pass: (use.region.shape, use.region_coarse.shape)  # type: ignore[union-attr]
        for use in uses
    }
    assert shapes == {False: ((4, 8), (2, 4)), True: ((8, 16), (4, 8))}
    assert {(use.projection, use.zeros) for use in uses} == {("ortho_v2", 8)}


def test_a_region_is_a_token_of_the_coarser_grid_at_least() -> None:
    person = Person(FACE, region=Region(box=(0, 0, 16, 64)))
    picture = GenerationOptions("p", width=64, height=64)
    identity_uses([person], None, picture, ["flux"])
    with pytest.raises(ValueError, match="16x64 pixels of 64x64, but a person needs 32x32"):
        identity_uses([person], None, picture, ["sdxl-v1"])


def test_people_need_weights() -> None:
    with pytest.raises(ValueError, match="loaded without PuLID weights"):
        identity_uses([Person(FACE)], None, GenerationOptions("p"), [])
