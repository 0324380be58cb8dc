"""What the engine is told of each person: numbers, and where."""

from __future__ import annotations

import numpy as np
import pytest

from pulid_sdcpp import GenerationOptions, Identity, ModelMismatchError, Person, Region
from pulid_sdcpp.people.identity_use import as_identity, identity_uses

FACE = Identity(np.ones((3, 4), np.float32), np.full((3, 4), 2, np.float32))
FACES = {
    encoder: Identity(FACE.tokens, FACE.uncond_tokens, {"encoder": encoder})
    for encoder in ("flux", "sdxl-v1", "sdxl-v1.1")
}
V1 = FACES["sdxl-v1"]
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
    face = FACES[encoder]
    uses, first_cfg = identity_uses([Person(face, region=LEFT)], None, picture, [encoder])
    assert first_cfg == 0  # as in PuLID's own pipelines for SDXL
    assert [use.negative for use in uses] == [False, True]
    for use, tokens in zip(uses, (face.tokens, face.uncond_tokens), strict=True):
        assert use.tokens is tokens
        assert (use.projection, use.zeros) == ("ortho_v2", zeros)
        assert use.region is not None
        assert use.region_coarse is not None
        assert use.region.tolist() == [[1] * 6 + [0] * 6] * 8
        assert use.region_coarse.tolist() == [[1] * 3 + [0] * 3] * 4


def test_a_coarse_cell_is_the_mean_of_four_fine_ones() -> None:
    picture = GenerationOptions("p", width=128, height=64)
    person = Person(V1, region=Region(box=(24, 8, 56, 48)))
    ((use,), _) = identity_uses([person], None, picture, ["sdxl-v1"])
    assert use.region is not None
    assert use.region_coarse is not None
    rows, columns = use.region_coarse.shape
    means = use.region.reshape(rows, 2, columns, 2).mean((1, 3))
    assert use.region_coarse == pytest.approx(means, abs=1e-6)


def test_a_second_pass_has_grids_of_its_own_size() -> None:
    picture = GenerationOptions("p", width=128, height=64, hires=True, hires_scale=2)
    uses, _ = identity_uses([Person(V1, region=LEFT)], None, picture, ["sdxl-v1"])
    shapes = {
        use.second_pass: (use.region.shape, use.region_coarse.shape)  # type: ignore[union-attr]
        for use in uses
    }
    assert shapes == {False: ((4, 8), (2, 4)), True: ((8, 16), (4, 8))}
    assert {(use.projection, use.zeros) for use in uses} == {("ortho_v2", 8)}


def test_a_region_is_a_token_of_the_coarser_grid_at_least() -> None:
    narrow = Region(box=(0, 0, 16, 64))
    person = Person(V1, region=narrow)
    picture = GenerationOptions("p", width=64, height=64)
    identity_uses([Person(FACE, region=narrow)], None, picture, ["flux"])
    with pytest.raises(ValueError, match="16x64 pixels of 64x64, but a person needs 32x32"):
        identity_uses([person], None, picture, ["sdxl-v1"])


def test_what_a_picture_says_of_its_mode_holds_for_everybody() -> None:
    picture = GenerationOptions("p", id_mode="style", id_zeros=4, cfg_scale=3)
    uses, _ = identity_uses([Person(V1), Person(V1, 0.5)], None, picture, ["sdxl-v1"])
    assert [(use.projection, use.zeros) for use in uses] == [("ortho", 4)] * 4
    assert [use.weight for use in uses] == [0.8, 0.8, 0.5, 0.5]


@pytest.mark.parametrize("people", [(), (Person(FACE),)])
def test_flux_refuses_a_mode_by_name(people: tuple[Person, ...]) -> None:
    picture = GenerationOptions("p", id_zeros=8)
    with pytest.raises(ValueError, match="id_zeros is 8, but only PuLID for SDXL has it"):
        identity_uses(people, None, picture, ["flux"])


def test_people_need_weights() -> None:
    with pytest.raises(ValueError, match="loaded without PuLID weights"):
        identity_uses([Person(FACE)], None, GenerationOptions("p"), [])


@pytest.mark.parametrize(("encoder", "weight"), [("flux", 1.0), ("sdxl-v1.1", 0.8)])
def test_a_weight_that_is_not_said_is_that_of_pulid_s_own_apps(encoder: str, weight: float) -> None:
    ((use,), _) = identity_uses([Person(FACES[encoder])], None, GenerationOptions("p"), [encoder])
    assert use.weight == weight


@pytest.mark.parametrize(
    ("made_by", "encoders"),
    [("flux", ["sdxl-v1"]), ("sdxl-v1.1", ["sdxl-v1"]), ("sdxl-v1", ["flux"])],
)
def test_an_identity_of_another_encoder_is_refused_by_name(
    made_by: str, encoders: list[str]
) -> None:
    with pytest.raises(ModelMismatchError, match=r"w\.gguf: expected an identity made by PuLID"):
        identity_uses(
            [Person(FACES[made_by])], None, GenerationOptions("p"), encoders, weights="w.gguf"
        )


def test_weights_without_their_encoder_take_both_and_each_has_its_zeros() -> None:
    people = [Person(V1), Person(FACES["sdxl-v1.1"])]
    uses, _ = identity_uses(people, None, GenerationOptions("p"), ["sdxl-v1", "sdxl-v1.1"])
    assert [use.zeros for use in uses] == [8, 20]


def test_plain_numbers_are_of_the_weights_own_encoder() -> None:
    picture = GenerationOptions("p")
    ((use,), _) = identity_uses([Person(FACE.tokens)], None, picture, ["sdxl-v1.1"])
    assert (use.projection, use.zeros, use.weight) == ("ortho_v2", 20, 0.8)
    assert as_identity(FACE.tokens, ["flux"]).sha256 == as_identity(FACE.tokens).sha256
