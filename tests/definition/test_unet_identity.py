"""PuLID's formulas for SDXL: their properties, and the graph's form of them with folded keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from definition.unet_identity import FoldedUse, first_rows, row_bias, with_identities_folded
from definition.unet_pulid import (
    HEAD_DIM,
    PROJECTIONS,
    UnetUse,
    first_token_share,
    identity_delta,
    identity_keys_values,
    with_identities,
)
from pulid_sdcpp.families.sdxl.folding import fold_keys_values
from standin.random_values import normal

WIDTH, ID_DIM, PICTURE = 128, 64, 24
TOKENS = 10
ZEROS = (0, 1, 8, 20, 80)
Q = normal(0, "q", (PICTURE, WIDTH))
H = normal(0, "h", (PICTURE, WIDTH))
W_K = normal(0, "id_to_k", (WIDTH, ID_DIM), deviation=0.3 * ID_DIM**-0.5)
"""Scores of deviation 2.4 unscaled, 0.3 scaled. With 5.6 unscaled, one token has nearly all of the
softmax of ortho_v2, and whether zero tokens take part in it could not be seen: 8e-5."""
W_V = normal(0, "id_to_v", (WIDTH, ID_DIM), deviation=ID_DIM**-0.5)
ALICE = UnetUse(normal(0, "alice", (TOKENS, ID_DIM)), 0.8)
BOB = UnetUse(normal(0, "bob", (32, ID_DIM)), 1.3)
LEFT = np.repeat([1.0, 0.25, 0.0], PICTURE // 3)
RIGHT = 1 - LEFT

HALF = 2.0**-11
"""The largest relative error of rounding to float16."""
F16_TOLERANCE = 2 * HALF
"""Of an engine that keeps keys and values in float16, and multiplies them with float16.

Each number is rounded by at most HALF, evenly spread, so by HALF / sqrt(3) in the root mean square
at most. z is a sum of products of values and probabilities, and has the error of two roundings,
sqrt(2 / 3) HALF; the scores' are a third of that, as they are small. Twice that, and a bit, is
allowed.
"""

EVERYBODY = {
    "nobody": [],
    "alice": [ALICE],
    "alice at the left": [replace(ALICE, region=LEFT)],
    "alice nowhere": [replace(ALICE, region=np.zeros(PICTURE))],
    "both": [ALICE, BOB],
    "each at a side": [replace(ALICE, region=LEFT), replace(BOB, region=RIGHT)],
}


def defined(uses: list[UnetUse], q: np.ndarray = Q, h: np.ndarray = H) -> np.ndarray:
    return with_identities(q, h, uses, W_K, W_V)


def as_graph(uses: list[UnetUse], folded: str = "f32", **options: object) -> np.ndarray:
    """The graph's form, with keys and values as they are folded."""
    folded_uses = []
    for use in uses:
        layer = fold_keys_values(W_K, W_V, use.tokens.astype(np.float32), folded)
        folded_uses.append(FoldedUse(layer.k, layer.v, use))
    return with_identities_folded(Q, H, folded_uses, **options)  # type: ignore[arg-type]


def unrounded(use: UnetUse) -> FoldedUse:
    """Keys and values in float64, packed by another way than the folding's."""
    rows = len(use.tokens) + 3
    keys, values = identity_keys_values(replace(use, zeros=3), W_K, W_V)
    heads = (rows, WIDTH // HEAD_DIM, HEAD_DIM)
    return FoldedUse(
        np.einsum("rhd->hrd", keys.reshape(heads)),
        np.einsum("rhd->hdr", values.reshape(heads)),
        use,
    )


def changed(uses: list[UnetUse], **changes: object) -> list[UnetUse]:
    return [replace(use, **changes) for use in uses]  # type: ignore[arg-type]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Of what the people add, which is what can be wrong."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - H))


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("zeros", ZEROS)
@pytest.mark.parametrize("people", EVERYBODY.values(), ids=EVERYBODY.keys())
def test_the_graph_s_form_is_the_definition(people, zeros, projection):
    uses = changed(people, zeros=zeros, projection=projection)
    expected = defined(uses)
    found = with_identities_folded(Q, H, [unrounded(use) for use in uses], dtype=np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    if len(uses) == 0 or (uses[0].region is not None and not uses[0].region.any()):
        assert np.array_equal(found, H)
        return
    assert relative(as_graph(uses), expected) <= 2e-6
    error = relative(as_graph(uses, "f16", f16_inputs=True), expected)
    print(f"{projection}, {zeros} zeros: relative error {error:.1e} of {F16_TOLERANCE:.1e}")
    assert HALF / 20 < error <= F16_TOLERANCE


MISTAKES = {
    "one zero token too many": lambda use: defined([replace(use, zeros=use.zeros + 1)]),
    "one zero token too few": lambda use: defined([replace(use, zeros=use.zeros - 1)]),
    "another projection": lambda use: defined(
        [replace(use, projection="ortho" if use.projection == "ortho_v2" else "ortho_v2")]
    ),
    "weights of another layer": lambda use: with_identities(Q, H, [use], W_K[::-1], W_V[::-1]),
    "keys of another layer": lambda use: with_identities(Q, H, [use], W_K[::-1], W_V),
    "heads swapped": lambda use: with_identities(
        Q, H, [use], np.roll(W_K, HEAD_DIM, 0), np.roll(W_V, HEAD_DIM, 0)
    ),
    "another six percent": lambda use: defined([replace(use, weight=1.06 * use.weight)]),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
@pytest.mark.parametrize("zeros", [8, 20])
def test_the_tolerance_sees_a_mistake(zeros, mistake):
    use = replace(BOB, zeros=zeros)
    assert relative(mistake(use), defined([use])) > 5 * F16_TOLERANCE


def test_the_tolerance_sees_zeros_left_out_of_the_second_softmax():
    for use in (replace(ALICE, zeros=8), replace(BOB, zeros=20)):
        keys, _ = identity_keys_values(replace(use, zeros=0), W_K, W_V)
        without = first_token_share(Q, keys) - first_token_share(
            Q, identity_keys_values(use, W_K, W_V)[0]
        )
        z = identity_delta(Q, H, replace(use, projection="none", weight=1), W_K, W_V)
        g = (H * z).sum(0) / (H * H).sum(0)
        wrong = defined([use]) + use.weight * without[:, None] * g * H
        assert relative(wrong, defined([use])) > F16_TOLERANCE


def test_the_tolerance_sees_people_in_a_chain():
    for projection in ("ortho", "ortho_v2"):
        uses = changed([ALICE, BOB], projection=projection)
        chained = with_identities(Q, defined(uses[:1]), uses[1:], W_K, W_V)
        assert relative(chained, defined(uses)) > 5 * F16_TOLERANCE


# Properties of the formulas


def test_weight_zero_adds_nothing():
    for projection in PROJECTIONS:
        use = replace(ALICE, weight=0.0, projection=projection)
        assert np.array_equal(defined([use]), H)
        assert np.array_equal(as_graph([use], dtype=np.float64), H)


def test_people_have_no_order():
    assert np.array_equal(defined([ALICE, BOB]), defined([BOB, ALICE]))


@pytest.mark.parametrize("region", [None, LEFT, RIGHT], ids=["everywhere", "left", "right"])
def test_what_ortho_adds_is_orthogonal_to_the_text_s_attention_in_every_channel(region):
    use = replace(ALICE, projection="ortho", region=region)
    delta = identity_delta(Q, H, use, W_K, W_V)
    size = np.sqrt((H**2).sum(0) * (delta**2).sum(0))
    assert np.abs((H * delta).sum(0) / size).max() < 1e-13
    graph = as_graph([use]) - H
    assert np.abs((H * graph).sum(0) / size).max() < 3e-6  # H + delta is rounded to float32
    none = identity_delta(Q, H, replace(use, projection="none"), W_K, W_V)
    assert np.abs((H * none).sum(0) / size).max() > 0.1


def test_a_region_of_ones_is_the_whole_picture():
    for projection in PROJECTIONS:
        use = replace(ALICE, projection=projection)
        ones = replace(use, region=np.ones(PICTURE))
        assert np.array_equal(defined([ones]), defined([use]))


def test_a_region_projects_inside_itself():
    """Its half of the picture is that of a picture of this half alone."""
    half = PICTURE // 2
    region = np.repeat([1.0, 0.0], half)
    for projection in PROJECTIONS:
        use = replace(ALICE, projection=projection)
        delta = identity_delta(Q, H, replace(use, region=region), W_K, W_V)
        alone = identity_delta(Q[:half], H[:half], use, W_K, W_V)
        np.testing.assert_allclose(delta[:half], alone, atol=1e-14)
        assert not delta[half:].any()


def test_an_almost_empty_region_adds_almost_nothing():
    for projection in PROJECTIONS:
        for scale, limit in ((1e-12, 1e-10), (0.0, 0.0)):
            use = replace(ALICE, projection=projection, region=scale * LEFT)
            for y in (defined([use]), as_graph([use])):
                assert np.abs(y - H).max() <= max(limit, 0)


def test_ever_more_zero_tokens_leave_nothing_of_the_identity():
    sizes = [
        np.linalg.norm(identity_delta(Q, H, replace(ALICE, zeros=zeros), W_K, W_V))
        for zeros in (0, 8, 80, 800, 4000)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.02 * sizes[0]


def test_the_first_tokens_share_is_a_share():
    for zeros in ZEROS:
        keys, _ = identity_keys_values(replace(ALICE, zeros=zeros), W_K, W_V)
        m = first_token_share(Q, keys)
        assert m.shape == (PICTURE,)
        assert ((m > 0) & (m < 1)).all()
    keys, _ = identity_keys_values(replace(ALICE, tokens=ALICE.tokens[:5], zeros=0), W_K, W_V)
    np.testing.assert_allclose(first_token_share(Q, keys), 1, atol=1e-14)


def test_the_order_of_tokens_matters_to_ortho_v2_and_there_by_the_first_five():
    tokens = ALICE.tokens
    within = np.concatenate([tokens[4::-1], tokens[:4:-1]])
    across = tokens[::-1].copy()
    for projection, tolerates_across in (("none", True), ("ortho", True), ("ortho_v2", False)):
        use = replace(ALICE, projection=projection)
        expected = defined([use])
        np.testing.assert_allclose(defined([replace(use, tokens=within)]), expected, atol=1e-14)
        difference = relative(defined([replace(use, tokens=across)]), expected)
        assert (difference < 1e-13) == tolerates_across


def test_where_only_the_first_tokens_are_looked_at_nothing_is_projected_away():
    few = replace(ALICE, tokens=ALICE.tokens[:5], zeros=0)
    np.testing.assert_allclose(defined([few]), defined([replace(few, projection="none")]))


# The graph's inputs


def test_the_bias_of_rows():
    assert row_bias(2, 8, 5).tolist() == [0, 0, np.log(8), -np.inf, -np.inf]
    assert row_bias(2, 0, 4).tolist() == [0, 0, -np.inf, -np.inf]


@pytest.mark.parametrize("n_tokens", [1, 4, 5])
@pytest.mark.parametrize("zeros", [0, 1, 2, 8])
def test_zero_tokens_after_fewer_than_five_are_among_the_first_five(n_tokens, zeros):
    use = replace(ALICE, tokens=ALICE.tokens[:n_tokens], zeros=zeros)
    found = with_identities_folded(Q, H, [unrounded(use)], dtype=np.float64)
    np.testing.assert_allclose(found, defined([use]), atol=1e-13)
    assert first_rows(n_tokens, zeros, 8).sum() <= 5


def test_an_unknown_projection_is_refused():
    with pytest.raises(ValueError, match="ortho_v3"):
        replace(ALICE, projection="ortho_v3")
