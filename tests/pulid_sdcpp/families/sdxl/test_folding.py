"""An identity's keys and values for the UNet's layers, against the formula in float64."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from definition.unet_pulid import UnetUse, identity_keys_values
from pulid_sdcpp.errors import ModelFileError, ModelMismatchError
from pulid_sdcpp.families import fold_each
from pulid_sdcpp.families.sdxl.folding import (
    UnetLayerKV,
    fold_for_unet,
    fold_keys_values,
    packed_shapes,
    slot_rows,
)
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from standin.random_values import normal
from standin.unet_pulid_file import write_few_unet_layers

ID_DIM = 64
TOKENS = normal(0, "alice", (10, ID_DIM))


@pytest.fixture
def open_weights(tmp_path: Path) -> Iterator[Callable[..., SdxlPulidWeights]]:
    opened: list[SdxlPulidWeights] = []

    def write_and_open(**changes: Any) -> SdxlPulidWeights:
        path = write_few_unet_layers(tmp_path / "pulid.safetensors", **changes)
        opened.append(SdxlPulidWeights(path))
        return opened[-1]

    yield write_and_open
    for weights in opened:
        weights.close()


def matrices(width: int, id_dim: int, gain: float = 1) -> tuple[np.ndarray, np.ndarray]:
    deviation = gain * id_dim**-0.5
    return (
        normal(0, "id_to_k", (width, id_dim), deviation=deviation),
        normal(0, "id_to_v", (width, id_dim), deviation=deviation),
    )


@pytest.mark.parametrize(
    ("width", "id_dim", "n_tokens"), [(128, 64, 10), (1280, 64, 32), (64, 2048, 32), (640, 32, 1)]
)
def test_keys_and_values_are_the_definition_s(width: int, id_dim: int, n_tokens: int) -> None:
    id_to_k, id_to_v = matrices(width, id_dim)
    tokens = normal(0, "tokens", (n_tokens, id_dim))
    rows = slot_rows(n_tokens)
    keys, values = identity_keys_values(UnetUse(tokens, zeros=rows - n_tokens), id_to_k, id_to_v)
    for dtype, tolerance in (("f32", 4e-6), ("f16", 2**-11 + 4e-6)):
        layer = fold_keys_values(id_to_k, id_to_v, tokens, dtype)
        assert (layer.k.shape, layer.v.shape) == packed_shapes(width, rows)
        for head in range(width // 64):
            channels = slice(64 * head, 64 * head + 64)
            for found, expected in (
                (layer.k[head], keys[:, channels]),
                (layer.v[head].T, values[:, channels]),
            ):
                limit = tolerance * np.maximum(np.abs(expected), 0.5)  # of a sum of 2048 terms
                assert (np.abs(found - expected) <= limit).all()
                assert not found[n_tokens:].any()
                assert found[:n_tokens].all()


def test_the_buffers_are_those_documented() -> None:
    for dtype, kind in (("f16", np.float16), ("f32", np.float32)):
        layer = fold_keys_values(*matrices(192, ID_DIM), TOKENS, dtype)
        assert layer.dtype == dtype
        assert (layer.k.shape, layer.v.shape) == ((3, 16, 64), (3, 64, 16))
        for array in (layer.k, layer.v):
            assert (array.dtype, array.flags.c_contiguous) == (kind, True)


@pytest.mark.parametrize(
    ("n_tokens", "rows"), [(1, 8), (7, 8), (8, 16), (10, 16), (25, 32), (32, 40), (40, 48)]
)
def test_a_slot_has_a_row_of_zeros_behind_the_tokens(n_tokens: int, rows: int) -> None:
    assert slot_rows(n_tokens) == rows


def test_the_published_weights_take_what_was_computed() -> None:
    """10 layers of 640 channels and 60 of 1280: 13.3 MB a person with v1.1, 5.3 with v1."""
    for n_tokens, size in ((32, 13_312_000), (10, 5_324_800)):
        shapes = [packed_shapes(width, slot_rows(n_tokens)) for width in [640] * 10 + [1280] * 60]
        assert sum(2 * int(np.prod(shape)) for pair in shapes for shape in pair) == size


@pytest.mark.parametrize("which", [0, 1], ids=["id_to_k", "id_to_v"])
@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("f16", 1e6, "more than f16 can hold; use f32"),
        ("f16", -1e6, "more than f16 can hold; use f32"),
        ("f16", np.nan, "NaN"),
        ("f32", np.nan, "NaN"),
        ("f32", np.inf, "NaN or infinite"),
        ("f32", -np.inf, "NaN or infinite"),
    ],
)
def test_overflow_is_an_error_never_infinity(
    which: int, dtype: str, value: float, words: str
) -> None:
    both = matrices(128, ID_DIM)
    both[which][100, 3] = value
    with pytest.raises(OverflowError, match=words), np.errstate(all="ignore"):
        fold_keys_values(*both, TOKENS, dtype)


def test_the_largest_number_that_fits_is_kept() -> None:
    one = np.ones((1, 1), np.float32)
    full = np.full((64, 1), 65504, np.float32)
    assert (fold_keys_values(full, -full, one).k[:, 0] == 65504).all()
    with pytest.raises(OverflowError, match="use f32"):
        fold_keys_values(np.nextafter(full, np.float32(np.inf)), full, one)


def test_matrices_that_are_no_heads_are_refused() -> None:
    id_to_k, id_to_v = matrices(128, ID_DIM)
    with pytest.raises(ValueError, match="multiple of 64 rows, found 96 and 96"):
        fold_keys_values(id_to_k[:96], id_to_v[:96], TOKENS)
    with pytest.raises(ValueError, match="found 128 and 64"):
        fold_keys_values(id_to_k, id_to_v[:64], TOKENS)


# A whole file


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_every_layer_of_a_file_is_folded_in_the_order_of_its_index(open_weights, dtype):
    weights = open_weights(widths={5: 64, 1: 128, 3: 64, 7: 320})
    layers = list(fold_for_unet(weights, TOKENS, dtype))
    assert [64 * len(layer.k) for layer in layers] == [128, 64, 64, 320]
    for index, layer in zip((1, 3, 5, 7), layers, strict=True):
        id_to_k, id_to_v = (matrix[:1000] for matrix in weights.rows(index))
        expected = fold_keys_values(id_to_k, id_to_v, TOKENS, dtype)
        assert layer.dtype == dtype
        assert np.array_equal(layer.k, expected.k)
        assert np.array_equal(layer.v, expected.v)


def test_mistakes_are_refused_before_any_layer_is_read(open_weights):
    weights = open_weights()
    nan, nobody = TOKENS.copy(), np.zeros_like(TOKENS)
    nan[3, 5] = np.nan
    for tokens, dtype, error, words in [
        (TOKENS[:, :63], "f16", ModelMismatchError, r"width 63.*pulid\.safetensors expects 64"),
        (TOKENS, "q8_0", ValueError, "found 'q8_0'"),
        (TOKENS[0], "f16", ValueError, "tokens, width"),
        (TOKENS[:0], "f16", ValueError, "tokens, width"),
        (nan, "f16", ValueError, "NaN"),
        (nobody, "f16", ValueError, "only zeros"),
    ]:
        with pytest.raises(error, match=words):
            fold_for_unet(weights, tokens, dtype)


@pytest.mark.parametrize(
    ("value", "words"),
    [(6e4, "more than f16 can hold; use f32"), (np.nan, "NaN"), (0.0, "id_to_v is zeros")],
)
def test_a_layer_that_cannot_be_folded_is_named(open_weights, value, words):
    bad = np.full((128, ID_DIM), value, np.float32)
    weights = open_weights(replaced={"id_adapter_attn_layers.3.id_to_v.weight": bad})
    layers = fold_for_unet(weights, np.abs(TOKENS))
    next(layers)
    with pytest.raises(ModelFileError, match=rf"pulid\.safetensors: identity layer 3: .*{words}"):
        next(layers)


def test_any_number_of_threads_gives_the_same_numbers(open_weights, monkeypatch):
    weights = open_weights()
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(fold_each, "_MAX_THREADS", count)
        monkeypatch.setattr(fold_each, "usable_cpus", lambda: 8)
        results.append([numbers(layer) for layer in fold_for_unet(weights, TOKENS)])
    assert len(results[0]) == len(weights.widths)
    assert results[0] == results[1] == results[2]


def numbers(layer: UnetLayerKV) -> bytes:
    return layer.k.tobytes() + layer.v.tobytes()


def test_a_fold_that_is_not_finished_ends_its_threads(open_weights):
    layers = fold_for_unet(open_weights(), TOKENS)
    next(layers)
    layers.close()
    assert not any(thread.name.startswith("pulid-fold") for thread in threading.enumerate())
