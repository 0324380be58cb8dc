"""Folded layers against the attention they replace, written from its definition."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from file_drafts import pulid_shapes
from pulid_sdcpp.errors import ModelFileError, ModelMismatchError
from pulid_sdcpp.families import fold_each
from pulid_sdcpp.families.flux.folding import FoldedLayer, PackedLayer, fold, fold_layer, pack
from pulid_sdcpp.families.flux.pulid_weights import PulidLayer, PulidWeights

EPS = 1e-5


def random_layer(
    hidden: int, heads: int, id_dim: int, seed: int, sharpness: float = 1
) -> PulidLayer:
    """Weights as an untrained PyTorch module has them, norms a little off one and zero.

    Attention scores have a standard deviation of about 0.36 * sharpness.
    """
    chance = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (chance.uniform(-1, 1, (rows, columns)) / np.sqrt(columns)).astype(np.float32)

    def around(value: float, width: int) -> np.ndarray:
        return (value + 0.2 * chance.standard_normal(width)).astype(np.float32)

    inner = heads * 128
    return PulidLayer(
        around(1, id_dim),
        around(0, id_dim),
        around(1, hidden),
        around(0, hidden),
        np.float32(sharpness) * matrix(inner, hidden),
        2 * matrix(2 * inner, id_dim),
        matrix(hidden, inner),
    )


def layer_norm(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def definition(
    layer: PulidLayer, tokens: np.ndarray, x: np.ndarray, heads: int, dtype: type = np.float64
) -> np.ndarray:
    """CA(id, x) unfolded."""
    w = {name: value.astype(dtype) for name, value in vars(layer).items()}
    identity = layer_norm(tokens.astype(dtype)) * w["norm1_weight"] + w["norm1_bias"]
    image = layer_norm(x.astype(dtype)) * w["norm2_weight"] + w["norm2_bias"]
    q = image @ w["to_q"].T
    k, v = np.split(identity @ w["to_kv"].T, 2, axis=-1)
    outputs = []
    for head in range(heads):
        part = slice(128 * head, 128 * (head + 1))
        scores = q[:, part] @ k[:, part].T / dtype(np.sqrt(128))
        outputs.append(softmax(scores) @ v[:, part])
    return np.concatenate(outputs, -1) @ w["to_out"].T


def applied(folded: FoldedLayer, x: np.ndarray, n_tokens: int) -> np.ndarray:
    """What the engine computes with a folded layer, in float32."""
    x = x.astype(np.float32)
    scores = layer_norm(x) @ folded.a.T + folded.bias
    weights = softmax(scores.reshape(len(x), -1, n_tokens)).reshape(len(x), -1)
    return weights.astype(np.float32) @ folded.b.T


def unpacked(layer: PackedLayer) -> FoldedLayer:
    import gguf

    if layer.dtype == "q8_0":
        kind = gguf.GGMLQuantizationType.Q8_0
        a, b = (gguf.quants.dequantize(x, kind) for x in (layer.a, layer.b))
    else:
        a, b = layer.a.astype(np.float32), layer.b.astype(np.float32)
    return FoldedLayer(a, layer.bias, b)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def inputs(hidden: int, id_dim: int, n_tokens: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    tokens = chance.standard_normal((n_tokens, id_dim)).astype(np.float32)
    return tokens, (3 * chance.standard_normal((50, hidden)) + 0.5).astype(np.float32)


@pytest.mark.parametrize(
    ("hidden", "heads", "id_dim", "n_tokens"),
    [(3072, 16, 2048, 32), (128, 1, 64, 32), (384, 3, 96, 7), (256, 2, 2048, 160), (64, 2, 32, 1)],
)
def test_a_folded_layer_is_its_definition(hidden, heads, id_dim, n_tokens):
    layer = random_layer(hidden, heads, id_dim, seed=1)
    tokens, x = inputs(hidden, id_dim, n_tokens, seed=2)
    expected = definition(layer, tokens, x, heads)
    found = applied(fold_layer(layer, tokens, heads), x, n_tokens)
    error = relative(found, expected)
    print(f"hidden {hidden}, {heads} heads, {n_tokens} tokens: relative error {error:.1e}")
    assert error <= 1e-6
    # What the measure says of a wrong one: that of another identity.
    assert relative(definition(layer, -tokens, x, heads), expected) > 0.1


def test_sharp_attention_loses_no_more_than_the_definition_in_float32():
    """Scores of tens carry rounding errors of tens of units, whichever way they are computed."""
    layer = random_layer(3072, 16, 2048, seed=1, sharpness=6)
    tokens, x = inputs(3072, 2048, 32, seed=2)
    expected = definition(layer, tokens, x, 16)
    unfolded = relative(definition(layer, tokens, x, 16, np.float32), expected)
    folded = relative(applied(fold_layer(layer, tokens, 16), x, 32), expected)
    print(f"relative error folded {folded:.1e}, unfolded float32 {unfolded:.1e}")
    assert folded <= 2 * unfolded


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        ("f32", 1e-6),
        # Rounding to float16 errs by at most 2^-11 of a number, evenly spread: 2.8e-4 in the root
        # mean square, in B directly and in A through the scores; three times that is allowed.
        ("f16", 3 * 2.8e-4),
        # A block's step is its largest number / 127; the largest of 32 normal numbers is about
        # 2.4 sigma, and rounding errs by a step / sqrt(12): 5.5e-3. Again three times that.
        ("q8_0", 3 * 5.5e-3),
    ],
)
def test_each_dtype_stays_close_to_the_definition(dtype, tolerance):
    layer = random_layer(3072, 16, 2048, seed=3)
    tokens, x = inputs(3072, 2048, 32, seed=4)
    packed = pack(fold_layer(layer, tokens, 16), dtype)
    error = relative(applied(unpacked(packed), x, 32), definition(layer, tokens, x, 16))
    print(f"{dtype}: relative error {error:.1e}, tolerance {tolerance:.1e}")
    assert error <= tolerance
    if dtype != "f32":
        assert error > tolerance / 20


def test_the_shapes_are_those_documented():
    layer = random_layer(64, 3, 32, seed=5)
    tokens, _ = inputs(64, 32, 32, seed=6)
    folded = fold_layer(layer, tokens, 3)
    assert folded.a.shape == (96, 64)
    assert folded.bias.shape == (96,)
    assert folded.b.shape == (64, 96)
    for dtype, kind, a_shape, b_shape in [
        ("f32", np.float32, (96, 64), (64, 96)),
        ("f16", np.float16, (96, 64), (64, 96)),
        ("q8_0", np.uint8, (96, 64 // 32 * 34), (64, 96 // 32 * 34)),
    ]:
        packed = pack(folded, dtype)
        assert (packed.a.dtype, packed.a.shape) == (kind, a_shape)
        assert (packed.b.dtype, packed.b.shape) == (kind, b_shape)
        assert packed.bias.dtype == np.float32
        for array in (packed.a, packed.bias, packed.b):
            assert array.flags.c_contiguous
            assert len(memoryview(array).cast("B")) == array.nbytes


def test_q8_0_blocks_are_ggmls():
    """Block: a float16 scale d, then 32 int8 q; a number is d * q."""
    numbers = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    packed = pack(FoldedLayer(numbers, np.zeros(32, np.float32), numbers.T), "q8_0")
    for row, block in zip(numbers, packed.a, strict=True):
        scale = np.abs(row).max() / 127
        assert np.frombuffer(block[:2].tobytes(), "<f2")[0] == np.float16(scale)
        steps = np.frombuffer(block[2:].tobytes(), np.int8)
        assert np.abs(steps - row / scale).max() <= 0.5 + 1e-3


def test_q8_0_needs_rows_of_whole_blocks():
    layer = random_layer(64, 1, 32, seed=7)
    tokens, _ = inputs(64, 32, 5, seed=8)
    with pytest.raises(ValueError, match=r"multiple of 32.*64.*5.*f16"):
        pack(fold_layer(layer, tokens, 1), "q8_0")


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("f16", 65536.0),
        ("f16", -65536.0),
        ("f16", np.inf),
        ("f16", np.nan),
        ("f32", np.inf),
        ("f32", np.nan),
        ("q8_0", 1e8),
        ("q8_0", -np.inf),
        ("q8_0", np.nan),
    ],
)
@pytest.mark.parametrize("where", ["a", "b"])
def test_overflow_is_an_error_never_infinity(dtype, value, where):
    arrays = {"a": np.ones((32, 64), np.float32), "b": np.ones((64, 32), np.float32)}
    arrays[where][3, 5] = value
    with pytest.raises(OverflowError):
        pack(FoldedLayer(arrays["a"], np.zeros(32, np.float32), arrays["b"]), dtype)


def test_the_largest_numbers_that_fit_are_kept():
    a = np.full((32, 64), 65504.0, np.float32)
    layer = FoldedLayer(a, np.zeros(32, np.float32), np.ones((64, 32), np.float32))
    assert np.isfinite(pack(layer, "f16").a).all()
    layer = FoldedLayer(a * 100, np.zeros(32, np.float32), np.ones((64, 32), np.float32))
    assert np.isfinite(unpacked(pack(layer, "q8_0")).a).all()


def test_a_bias_that_is_not_finite_is_an_error():
    ones = np.ones((32, 32), np.float32)
    with pytest.raises(OverflowError):
        pack(FoldedLayer(ones, np.full(32, np.nan, np.float32), ones), "f16")


# A whole file


@pytest.fixture
def weights_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")

    def save(**changes: np.ndarray) -> Path:
        chance = np.random.default_rng(9)
        tensors = {
            name: (chance.standard_normal(shape) / 8).astype(np.float16)
            for name, shape in pulid_shapes(layers=3).items()
        }
        path = tmp_path / "pulid.safetensors"
        safetensors.save_file(tensors | changes, path)
        return path

    return save


@pytest.mark.parametrize("dtype", ["f16", "f32", "q8_0"])
def test_every_layer_of_a_file_is_folded_in_order(weights_file, dtype):
    tokens, _ = inputs(128, 64, 32, seed=10)
    with PulidWeights(weights_file()) as weights:
        layers = list(fold(weights, tokens, dtype))
        assert len(layers) == 3
        for index, packed in enumerate(layers):
            expected = pack(fold_layer(weights.layer(index), tokens, weights.heads), dtype)
            assert packed.dtype == dtype
            np.testing.assert_array_equal(packed.a, expected.a)
            np.testing.assert_array_equal(packed.b, expected.b)
            np.testing.assert_array_equal(packed.bias, expected.bias)


def test_mistakes_are_refused_before_any_layer_is_read(weights_file):
    tokens, _ = inputs(128, 64, 32, seed=11)
    with PulidWeights(weights_file()) as weights:
        with pytest.raises(ModelMismatchError, match=r"width 63.*expects 64"):
            fold(weights, tokens[:, :63])
        with pytest.raises(ValueError, match="found 'q4_0'"):
            fold(weights, tokens, "q4_0")
        with pytest.raises(ValueError, match="multiple of 32"):
            fold(weights, tokens[:5], "q8_0")
        with pytest.raises(ValueError, match="tokens, width"):
            fold(weights, tokens[0])


def test_weights_that_overflow_are_named(weights_file):
    tokens, _ = inputs(128, 64, 32, seed=12)
    huge = np.full((128, 256), 60000, np.float16)
    path = weights_file(**{"pulid_ca.1.to_out.weight": huge})
    with PulidWeights(path) as weights:
        layers = fold(weights, tokens, "f16")
        next(layers)
        with pytest.raises(ModelFileError, match=r"pulid_ca\.1: .*more than f16 can hold; use f32"):
            next(layers)


def test_weights_with_nan_are_named(weights_file):
    tokens, _ = inputs(128, 64, 32, seed=13)
    damaged = np.full((64,), np.nan, np.float16)
    path = weights_file(**{"pulid_ca.0.norm1.weight": damaged})
    with PulidWeights(path) as weights, pytest.raises(ModelFileError, match=r"pulid_ca\.0: .*NaN"):
        next(fold(weights, tokens))


def test_heads_that_do_not_divide_are_refused():
    layer = random_layer(64, 2, 32, seed=14)
    tokens, _ = inputs(64, 32, 4, seed=15)
    with pytest.raises(ValueError, match="3 heads"):
        fold_layer(layer, tokens, 3)
    with pytest.raises(ValueError, match="tokens of shape"):
        fold_layer(layer, tokens[:, :3], 2)


def test_any_number_of_threads_gives_the_same_numbers(weights_file, monkeypatch):
    tokens, _ = inputs(128, 64, 32, seed=16)
    with PulidWeights(weights_file()) as weights:
        results = []
        for count in (1, 2, 5):
            monkeypatch.setattr(fold_each, "_MAX_THREADS", count)
            monkeypatch.setattr(fold_each, "usable_cpus", lambda: 8)
            results.append(
                [layer.a.tobytes() + layer.b.tobytes() for layer in fold(weights, tokens)]
            )
    assert len(results[0]) == 3
    assert results[0] == results[1] == results[2]


def test_a_fold_that_is_not_finished_ends_its_threads(weights_file):
    tokens, _ = inputs(128, 64, 32, seed=17)
    with PulidWeights(weights_file()) as weights:
        layers = fold(weights, tokens)
        next(layers)
        assert any(thread.name.startswith("pulid-fold") for thread in threading.enumerate())
        layers.close()
    assert not any(thread.name.startswith("pulid-fold") for thread in threading.enumerate())
