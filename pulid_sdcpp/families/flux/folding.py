"""Fold an identity into PuLID's cross-attention layers.

The identity does not change while pictures are made, so everything on its side of the
attention can be computed once. With x the image tokens and LN0 a LayerNorm without
weight and bias (eps 1e-5), a layer

    to_out( softmax( to_q(LN(x)) k^T / sqrt(128) ) v )     k, v = to_kv(LN(id))

becomes, for each head h of to_q, to_out, k and v,

    A_h    = k_h Wq_h / sqrt(128)                          (tokens, hidden)
    bias_h = A_h @ norm2.bias;  A_h *= norm2.weight        (tokens,)
    B_h    = Wo_h v_h^T                                    (hidden, tokens)

    CA(id, x) = concat_h softmax( LN0(x) A_h^T + bias_h ) @ concat_h B_h^T

which is exact, and for the published model 3.15 M numbers and multiply-adds per image
token in place of 21.0 M and 12.6 M. Row head * tokens + token of A and bias, and the same
column of B, belong to one token of one head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelFileError, ModelMismatchError
from ...system.blas_threads import one_blas_thread
from ..fold_each import fold_each
from .pulid_weights import PulidLayer, PulidWeights

__all__ = [
    "FOLD_DTYPES",
    "FoldedLayer",
    "PackedLayer",
    "fold",
    "fold_layer",
    "pack",
    "packed_form",
]

LAYER_NORM_EPS = 1e-5
ROW_BLOCK = 256
"""Rows of a matrix to convert and multiply at a time: 2 to 3 MB, which a core's cache holds."""
FOLD_DTYPES = ("f16", "f32", "q8_0")
Q8_0_BLOCK = 32
Q8_0_BLOCK_BYTES = 34
"""A float16 scale and 32 int8."""
F16_MAX = 65504.0


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """One layer with an identity folded in; rows = heads * tokens."""

    a: NDArray[np.float32]  # (rows, hidden)
    bias: NDArray[np.float32]  # (rows,)
    b: NDArray[np.float32]  # (hidden, rows)


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A folded layer as the engine stores it: C-contiguous buffers to copy as they are.

    Attributes:
        a: ggml tensor [ne0 = hidden, ne1 = rows]: (rows, hidden) float16 or float32, or the
            bytes of Q8_0 blocks, (rows, hidden / 32 * 34) uint8.
        bias: (rows,) float32.
        b: ggml tensor [ne0 = rows, ne1 = hidden], as `a`.
        dtype: "f16", "f32" or "q8_0".
    """

    a: NDArray[Any]
    bias: NDArray[np.float32]
    b: NDArray[Any]
    dtype: str


def fold(
    weights: PulidWeights, tokens: NDArray[np.float32], dtype: Literal["f16", "f32", "q8_0"] = "f16"
) -> Iterator[PackedLayer]:
    """Fold an identity into every layer, one at a time.

    Several layers are in work at a time, each of which reads a few rows of the weights at a
    time: 30 MB of memory per processor core, up to four.

    Args:
        weights: The open weights file.
        tokens: (tokens, id_dim) identity tokens, finite.
        dtype: What the engine is to store: "f16" (relative error 3.5e-4), "q8_0" (9e-3, half
            the size) or "f32" (5e-8).

    Returns:
        An iterator of `weights.n_layers` packed layers, in the order of `positions`.

    Raises:
        ValueError: An unknown dtype, or row lengths that Q8_0 cannot hold.
        ModelMismatchError: Identity tokens of another width than the weights expect.
        ModelFileError: Weights that give numbers beyond what `dtype` can hold, NaN, or zeros
            only; or that were written to since they were opened.
    """
    tokens = np.asarray(tokens, np.float32)
    if tokens.ndim != 2 or not tokens.shape[0]:
        raise ValueError(f"identity tokens: expected (tokens, width), found {tokens.shape}")
    if tokens.shape[1] != weights.id_dim:
        raise ModelMismatchError(
            f"the identity has tokens of width {tokens.shape[1]}, {weights.path} expects"
            f" {weights.id_dim}; extract it again with these weights"
        )
    _check_dtype(dtype, weights.hidden_size, weights.heads * len(tokens))
    weights.file.check_unchanged()
    folded = partial(_folded_and_packed, weights, tokens=tokens, dtype=dtype)
    return fold_each(folded, range(weights.n_layers), weights.file)


def _folded_and_packed(
    weights: PulidWeights, index: int, tokens: NDArray[np.float32], dtype: str
) -> PackedLayer:
    with np.errstate(all="ignore"):  # what overflows is found and named by pack()
        folded = fold_layer(weights.layer(index), tokens, weights.heads)
    _check_somebody(folded, f"{weights.path}: layer pulid_ca.{index}")
    try:
        return pack(folded, dtype)
    except OverflowError as error:
        raise ModelFileError(f"{weights.path}: layer pulid_ca.{index}: {error}") from None


def _check_somebody(layer: FoldedLayer, where: str) -> None:
    """Refuse a layer of zeros, which adds nothing of anybody."""
    for matrix, sources in ((layer.a, "to_q, to_kv or norm2"), (layer.b, "to_out or to_kv")):
        if not matrix.any():
            raise ModelFileError(
                f"{where}: {sources} is zeros, so the layer has no effect; download the weights "
                "again"
            )


@one_blas_thread()
def fold_layer(layer: PulidLayer, tokens: NDArray[np.float32], heads: int) -> FoldedLayer:
    """Fold an identity into one layer.

    Args:
        layer: The layer's weights.
        tokens: (n, id_dim) float32 identity tokens.
        heads: Number of attention heads; must divide the rows of to_q.

    Raises:
        ValueError: Shapes that do not belong together.

    Source: the module's docstring.
    """
    inner, hidden = layer.to_q.shape
    if heads < 1 or inner % heads:
        raise ValueError(f"{heads} heads do not divide the {inner} rows of to_q")
    if tokens.ndim != 2 or tokens.shape[1] != layer.to_kv.shape[1]:
        raise ValueError(f"identity tokens of shape {tokens.shape}, to_kv {layer.to_kv.shape}")
    n_tokens, head_dim = len(tokens), inner // heads

    # Each head's rows of a (columns of b), and of to_q, keys and values.
    folded = [slice(head * n_tokens, (head + 1) * n_tokens) for head in range(heads)]
    parts = [slice(head * head_dim, (head + 1) * head_dim) for head in range(heads)]

    normed = _layer_norm(tokens, layer.norm1_weight, layer.norm1_bias)
    kv = np.empty((2 * inner, n_tokens), np.float32)
    for rows in _blocks(2 * inner):
        np.matmul(layer.to_kv[rows], normed.T, out=kv[rows])
    keys, values = kv[:inner], kv[inner:]
    keys *= np.float32(head_dim**-0.5)

    a = np.empty((heads * n_tokens, hidden), np.float32)
    for head in range(heads):
        np.matmul(keys[parts[head]].T, layer.to_q[parts[head]], out=a[folded[head]])
    b = np.empty((hidden, heads * n_tokens), np.float32)
    for rows in _blocks(hidden):
        to_out = layer.to_out[rows]
        for head in range(heads):
            np.matmul(to_out[:, parts[head]], values[parts[head]], out=b[rows, folded[head]])
    bias = a @ layer.norm2_bias
    a *= layer.norm2_weight
    return FoldedLayer(a, bias, b)


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, ROW_BLOCK):
        yield slice(start, min(start + ROW_BLOCK, n_rows))


def pack(layer: FoldedLayer, dtype: str) -> PackedLayer:
    """Convert a folded layer to the engine's element type.

    Raises:
        ValueError: An unknown dtype, or row lengths that Q8_0 cannot hold.
        OverflowError: A number that is NaN, infinite, or more than the dtype can hold.
    """
    rows, hidden = layer.a.shape
    _check_dtype(dtype, hidden, rows)
    if not np.isfinite(layer.bias).all():
        raise OverflowError("the folded identity has NaN or infinite numbers")
    return PackedLayer(_packed(layer.a, dtype), layer.bias, _packed(layer.b, dtype), dtype)


def packed_form(dtype: str, rows: int, columns: int) -> tuple[np.dtype[Any], tuple[int, int]]:
    """Element type and shape of the array that a packed matrix of rows x columns is."""
    if dtype == "q8_0":
        return np.dtype(np.uint8), (rows, columns // Q8_0_BLOCK * Q8_0_BLOCK_BYTES)
    return np.dtype({"f16": "<f2", "f32": "<f4"}[dtype]), (rows, columns)


def _packed(array: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    # max() is NaN when any element is, so one pass finds NaN, infinity and overflow.
    largest = float(max(array.max(), -array.min()))
    if not np.isfinite(largest):
        raise OverflowError("the folded identity has NaN or infinite numbers")
    limit = {"f16": F16_MAX, "q8_0": F16_MAX * 127, "f32": np.inf}[dtype]
    if largest > limit:
        raise OverflowError(
            f"the folded identity reaches {largest:g}, more than {dtype} can hold; use f32"
        )
    if dtype == "f32":
        return np.ascontiguousarray(array, "<f4")
    if dtype == "f16":
        with np.errstate(under="ignore"):
            return np.ascontiguousarray(array.astype("<f2"))
    import gguf

    with np.errstate(under="ignore"):
        quantized = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q8_0)
    return np.ascontiguousarray(quantized, np.uint8)


def _check_dtype(dtype: str, hidden: int, rows: int) -> None:
    if dtype not in FOLD_DTYPES:
        raise ValueError(f"identity dtype: expected one of {FOLD_DTYPES}, found {dtype!r}")
    if dtype == "q8_0" and (hidden % Q8_0_BLOCK or rows % Q8_0_BLOCK):
        raise ValueError(
            f"q8_0 needs rows of a multiple of {Q8_0_BLOCK} numbers, found {hidden} (the model's"
            f" width) and {rows} (heads x identity tokens); use f16"
        )


def _layer_norm(
    x: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    """LayerNorm over the last axis. In float64: the identity is small and rounding adds up."""
    wide = x.astype(np.float64)
    wide -= wide.mean(-1, keepdims=True)
    wide /= np.sqrt(np.square(wide).mean(-1, keepdims=True) + LAYER_NORM_EPS)
    normed: NDArray[np.float32] = (wide * weight + bias).astype(np.float32)
    return normed
