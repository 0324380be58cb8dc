"""The definition itself: properties that the formulas must have, and folding against it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from definition.flux_pulid import (
    FluxPulid,
    euler,
    guided,
    image_positions,
    patchify,
    rotated,
    rotations,
    schedule_mu,
    sigmas,
    time_embedding,
    unpatchify,
)
from pulid_sdcpp.families.flux.folding import fold_layer
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from standin import make_standin_weights
from standin.random_values import normal

HEIGHT, WIDTH = 6, 8
X = normal(0, "x", (16, HEIGHT, WIDTH))
CONTEXT = normal(0, "context", (5, 4096), deviation=0.2)
Y = normal(0, "y", (768,))
ALICE = normal(0, "alice", (32, 2048))
BOB = normal(0, "bob", (32, 2048))
SIZES = [(3, 5, 128), (2, 1, 384)]


@pytest.fixture(scope="module", params=SIZES, ids=str)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    depth, depth_single, hidden = request.param
    return make_standin_weights(
        tmp_path_factory.mktemp("definition"),
        depth=depth,
        depth_single=depth_single,
        hidden=hidden,
        quantizations=("f16",),
        guidance_embed=hidden == 384,
    )


@pytest.fixture(scope="module")
def model(files: dict[str, Path]) -> FluxPulid:
    return FluxPulid(files["flux-f16"], files["pulid"])


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_output_has_the_shape_and_the_order_of_one(model: FluxPulid) -> None:
    out = model.velocity(X, 0.7, CONTEXT, Y, guidance=3.5, identities=[(ALICE, 1.0)])
    assert out.shape == X.shape
    assert 0.3 < rms(out) < 3
    assert np.abs(out).max() < 10


def test_every_input_matters(model: FluxPulid) -> None:
    base = model.velocity(X, 0.7, CONTEXT, Y, guidance=3.5)
    others = {
        "latent": model.velocity(X[:, ::-1].copy(), 0.7, CONTEXT, Y, guidance=3.5),
        "timestep": model.velocity(X, 0.3, CONTEXT, Y, guidance=3.5),
        "context": model.velocity(X, 0.7, -CONTEXT, Y, guidance=3.5),
        "pooled": model.velocity(X, 0.7, CONTEXT, -Y, guidance=3.5),
        "identity": model.velocity(X, 0.7, CONTEXT, Y, guidance=3.5, identities=[(ALICE, 1.0)]),
    }
    for name, out in others.items():
        assert rms(out - base) > 0.02, name
    guidance_matters = rms(model.velocity(X, 0.7, CONTEXT, Y, guidance=1.0) - base) > 0.02
    assert guidance_matters == model.guidance_embed


def test_weight_zero_is_no_identity(model: FluxPulid) -> None:
    plain = model.velocity(X, 0.7, CONTEXT, Y)
    assert np.array_equal(model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 0.0)]), plain)


def test_identity_grows_with_its_weight_and_tells_people_apart(model: FluxPulid) -> None:
    plain = model.velocity(X, 0.7, CONTEXT, Y)
    change = [
        rms(model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, weight)]) - plain)
        for weight in (0.25, 0.5, 1.0)
    ]
    assert 0.05 < change[0] < change[1] < change[2]
    alice, bob = (
        model.velocity(X, 0.7, CONTEXT, Y, identities=[(person, 1.0)]) for person in (ALICE, BOB)
    )
    assert rms(alice - bob) > 0.2


def test_identity_is_a_set_of_tokens(model: FluxPulid) -> None:
    a = model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 1.0)])
    b = model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE[::-1].copy(), 1.0)])
    assert np.abs(a - b).max() < 1e-12


def test_text_tokens_are_a_set(model: FluxPulid) -> None:
    a = model.velocity(X, 0.7, CONTEXT, Y)
    b = model.velocity(X, 0.7, CONTEXT[::-1].copy(), Y)
    assert np.abs(a - b).max() < 1e-12


def test_two_people_with_half_the_weight_each_are_one_when_they_are_the_same(
    model: FluxPulid,
) -> None:
    one = model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 1.0)])
    two = model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 0.5), (ALICE, 0.5)])
    assert np.abs(one - two).max() < 1e-12


def test_only_relative_positions_matter() -> None:
    x = torch.from_numpy(normal(0, "heads", (2, 48, 128))).to(torch.float64)
    ids = image_positions(12, 16, index=0)
    near, far = rotations(ids), rotations(ids + torch.tensor([0.0, 7.0, -3.0]))
    a, b = (rotated(x, turns) @ rotated(x, turns).transpose(1, 2) for turns in (near, far))
    assert (a - b).abs().max() < 1e-9


def test_reference_latent_changes_the_picture_and_gets_no_identity(model: FluxPulid) -> None:
    reference = normal(0, "reference", (16, 4, 6))
    plain = model.velocity(X, 0.7, CONTEXT, Y, reference=reference)
    assert plain.shape == X.shape
    assert rms(plain - model.velocity(X, 0.7, CONTEXT, Y)) > 0.01

    seen: list[int] = []
    original = model.cross_attention

    def counting(layer: int, identity: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return original(layer, identity, x)

    model.cross_attention = counting  # type: ignore[method-assign]
    try:
        model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 1.0)], reference=reference)
    finally:
        del model.cross_attention  # type: ignore[method-assign]
    assert seen == [HEIGHT * WIDTH // 4] * model.pulid_layers


def test_odd_sizes_are_padded_and_cropped(model: FluxPulid) -> None:
    odd = X[:, :-1, :-1]
    padded = np.pad(odd, ((0, 0), (0, 1), (0, 1)))
    out = model.velocity(odd, 0.7, CONTEXT, Y)
    assert np.array_equal(out, model.velocity(padded, 0.7, CONTEXT, Y)[:, :-1, :-1])


def test_patch_order_is_channel_row_column() -> None:
    x = torch.arange(2 * 4 * 6).reshape(2, 4, 6).to(torch.float64)
    tokens = patchify(x)
    assert tokens.shape == (6, 8)
    # Second patch of the first row: columns 2 and 3 of rows 0 and 1, of each channel.
    assert tokens[1].tolist() == [2, 3, 8, 9, 26, 27, 32, 33]
    assert torch.equal(unpatchify(tokens, 4, 6), x)


def test_time_embedding_is_cosines_then_sines_of_thousand_times_the_value() -> None:
    e = time_embedding(0.25)
    assert e.shape == (256,)
    assert e[0].item() == pytest.approx(math.cos(250))
    assert e[128].item() == pytest.approx(math.sin(250))
    assert e[64].item() == pytest.approx(math.cos(250 / 100))


def test_rounding_of_inputs_is_a_small_change(files: dict[str, Path], model: FluxPulid) -> None:
    """The size of error to expect from an engine that multiplies float16 matrices."""
    rounded = FluxPulid(files["flux-f16"], files["pulid"], f16_inputs=True)
    a, b = (m.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 1.0)]) for m in (model, rounded))
    difference = np.abs(a - b).max()
    print(f"max difference by float16 inputs: {difference:.2e}")
    assert 0 < difference < 0.02


def test_a_model_of_another_depth_is_refused(files: dict[str, Path]) -> None:
    model = FluxPulid(files["flux-f16"])
    with pytest.raises(ValueError, match="identity layers"):
        model.velocity(X, 0.7, CONTEXT, Y, identities=[(ALICE, 1.0)])


def test_folded_layer_is_the_cross_attention(files: dict[str, Path], model: FluxPulid) -> None:
    x = torch.from_numpy(normal(0, "tokens", (50, model.hidden), deviation=2, mean=0.3)).double()
    normed = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-5).numpy()
    with PulidWeights(files["pulid"]) as weights:
        for index in range(weights.n_layers):
            folded = fold_layer(weights.layer(index), ALICE, weights.heads)
            scores = normed @ folded.a.T.astype(np.float64) + folded.bias
            scores = scores.reshape(len(x), weights.heads, len(ALICE))
            probabilities = np.exp(scores - scores.max(axis=-1, keepdims=True))
            probabilities /= probabilities.sum(axis=-1, keepdims=True)
            result = probabilities.reshape(len(x), -1) @ folded.b.T.astype(np.float64)
            expected = model.cross_attention(index, torch.from_numpy(ALICE).double(), x).numpy()
            relative = np.linalg.norm(result - expected) / np.linalg.norm(expected)
            print(f"layer {index}: relative difference {relative:.1e}")
            # A, bias and B are rounded to float32 (6e-8) after float32 sums.
            assert relative < 1e-6


def test_schedule_is_that_of_flux() -> None:
    assert sigmas(1, 1.0).tolist() == [1, 0]
    assert sigmas(4, 0.0) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    # Half noise, moved by e^1.15 = 3.158 to 1: 3.158 / 4.158.
    assert sigmas(4, 1.15)[2] == pytest.approx(0.7595, abs=1e-4)
    sizes = [(256, 256), (1024, 1024), (512, 512), (2048, 2048)]
    moved = [schedule_mu(*size, guidance_embed=True) for size in sizes]
    assert moved == pytest.approx([0.5, 1.15, 0.63, 3.23])
    assert schedule_mu(1024, 1024, guidance_embed=False) == 0


def test_euler_solves_a_straight_path_exactly() -> None:
    noise, image = normal(0, "noise", (16, 2, 2)), normal(0, "image", (16, 2, 2))
    end = euler(lambda x, sigma, step: noise - image, noise, sigmas(3, 1.0))
    assert np.abs(end - image).max() < 1e-6


def test_guidance_of_one_is_the_positive_pass() -> None:
    assert guided(np.array([2.0]), np.array([1.0]), 1.0) == 2.0
    assert guided(np.array([2.0]), np.array([1.0]), 4.0) == 5.0
