"""Fold an identity into the cross-attentions of SDXL's UNet: its keys and values.

PuLID for SDXL gives each cross-attention of the UNet a second pair of keys and values, made of
the identity by two matrices without a bias. The queries are the UNet's own, so keys and values
are all there is to compute beforehand:

    K = E id_to_k^T,    V = E id_to_v^T        E: identity tokens (n, id_dim); K, V (n, C)

The zero tokens that PuLID puts behind the identity's give keys and values of zeros. As they are
all equal, one row of zeros stands for any number of them, by its bias in the softmax; the rows
behind it only fill up to a multiple of eight.

Source: ToTheBeginning/PuLID, pulid/attention_processor.py (IDAttnProcessor2_0).
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
from ...tensors.matrix_rows import MatrixRows
from ..fold_each import fold_each
from .pulid_weights import SdxlPulidWeights
from .unet_shapes import UNET_HEAD_DIM

__all__ = [
    "KEY_VALUE_DTYPES",
    "UnetLayerKV",
    "fold_for_unet",
    "fold_keys_values",
    "packed_shapes",
    "slot_rows",
]

KEY_VALUE_DTYPES = ("f16", "f32")
ROW_ALIGNMENT = 8
ROW_BLOCK = 256
"""Rows of a matrix to convert and multiply at a time: 2 MB, which a core's cache holds."""
F16_MAX = 65504.0

_NUMPY_DTYPES = {"f16": "<f2", "f32": "<f4"}


@dataclass(frozen=True, eq=False)
class UnetLayerKV:
    """Keys and values of an identity in one layer, as the engine stores them.

    C-contiguous buffers to copy as they are. Rows from the number of tokens on are zeros, at
    least one.

    Attributes:
        k: ggml tensor [ne0 = 64, ne1 = rows, ne2 = heads]: (heads, rows, 64) float16 or float32.
        v: ggml tensor [ne0 = rows, ne1 = 64, ne2 = heads]: (heads, 64, rows), as `k`.
        dtype: "f16" or "f32".
    """

    k: NDArray[Any]
    v: NDArray[Any]
    dtype: str


def slot_rows(n_tokens: int) -> int:
    """Rows of keys for an identity: its tokens and one of zeros, up to a multiple of eight."""
    return -(-(n_tokens + 1) // ROW_ALIGNMENT) * ROW_ALIGNMENT


def packed_shapes(width: int, rows: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Shapes of a layer's keys and values as `UnetLayerKV` has them."""
    heads = width // UNET_HEAD_DIM
    return (heads, rows, UNET_HEAD_DIM), (heads, UNET_HEAD_DIM, rows)


def fold_for_unet(
    weights: SdxlPulidWeights, tokens: NDArray[np.float32], dtype: Literal["f16", "f32"] = "f16"
) -> Iterator[UnetLayerKV]:
    """Fold an identity into every layer, one at a time.

    Several layers are in work at a time, each of which reads a few rows of the weights at a time.

    Args:
        weights: The open weights file.
        tokens: (tokens, id_dim) identity tokens, finite and not only zeros.
        dtype: What the engine is to store: "f16", as PuLID itself rounds them to, or "f32".

    Returns:
        An iterator of the layers, in ascending order of their index.

    Raises:
        ValueError: An unknown dtype; tokens of another number of dimensions, or that are not the
            numbers of anybody.
        ModelMismatchError: Identity tokens of another width than the weights expect.
        ModelFileError: Weights that give numbers beyond what `dtype` can hold, NaN, or zeros
            only; or that were written to since they were opened.
    """
    tokens = np.asarray(tokens, np.float32)
    if tokens.ndim != 2 or not tokens.shape[0]:
        raise ValueError(f"identity tokens: expected (tokens, width), found {tokens.shape}")
    if dtype not in KEY_VALUE_DTYPES:
        raise ValueError(f"identity dtype: expected one of {KEY_VALUE_DTYPES}, found {dtype!r}")
    if tokens.shape[1] != weights.id_dim:
        raise ModelMismatchError(
            f"the identity has tokens of width {tokens.shape[1]}, {weights.path} expects"
            f" {weights.id_dim}; extract it again with these weights"
        )
    # Without a bias these would go through: zeros as nobody, and NaN as an error of the weights.
    if not np.isfinite(tokens).all():
        raise ValueError("identity tokens: expected finite numbers, found NaN or infinite ones")
    if not tokens.any():
        raise ValueError("identity tokens: expected the numbers of a face, found only zeros")
    weights.file.check_unchanged()
    folded = partial(_folded_layer, weights, tokens=tokens, dtype=dtype)
    return fold_each(folded, weights.widths, weights.file)


def _folded_layer(
    weights: SdxlPulidWeights, index: int, tokens: NDArray[np.float32], dtype: str
) -> UnetLayerKV:
    where = f"{weights.path}: identity layer {index}"
    id_to_k, id_to_v = weights.rows(index)
    try:
        with np.errstate(all="ignore"):  # what overflows is found below and named
            layer = fold_keys_values(id_to_k, id_to_v, tokens, dtype)
    except OverflowError as error:
        raise ModelFileError(f"{where}: {error}") from None
    for packed, source in ((layer.k, "id_to_k"), (layer.v, "id_to_v")):
        if not packed.any():
            raise ModelFileError(
                f"{where}: {source} is zeros, so the layer has no effect; download the weights"
                " again"
            )
    return layer


@one_blas_thread()
def fold_keys_values(
    id_to_k: MatrixRows | NDArray[np.float32],
    id_to_v: MatrixRows | NDArray[np.float32],
    tokens: NDArray[np.float32],
    dtype: str = "f16",
) -> UnetLayerKV:
    """Fold an identity into one layer.

    Args:
        id_to_k, id_to_v: (C, id_dim) float32, C a multiple of 64.
        tokens: (n, id_dim) float32.
        dtype: One of KEY_VALUE_DTYPES.

    Raises:
        ValueError: A matrix whose rows are no whole heads.
        OverflowError: A number that is NaN, infinite, or more than the dtype can hold.

    Source: the module's docstring.
    """
    n_tokens, width = len(tokens), id_to_k.shape[0]
    if width % UNET_HEAD_DIM or id_to_v.shape[0] != width:
        raise ValueError(
            f"expected id_to_k and id_to_v of the same multiple of {UNET_HEAD_DIM} rows, found"
            f" {width} and {id_to_v.shape[0]}"
        )
    shape_k, shape_v = packed_shapes(width, slot_rows(n_tokens))
    k, v = np.zeros(shape_k, _NUMPY_DTYPES[dtype]), np.zeros(shape_v, _NUMPY_DTYPES[dtype])
    keys = _products(id_to_k, tokens, dtype).reshape(-1, UNET_HEAD_DIM, n_tokens)
    k[:, :n_tokens] = keys.transpose(0, 2, 1)
    v[:, :, :n_tokens] = _products(id_to_v, tokens, dtype).reshape(-1, UNET_HEAD_DIM, n_tokens)
    return UnetLayerKV(k, v, dtype)


def _products(
    matrix: MatrixRows | NDArray[np.float32], tokens: NDArray[np.float32], dtype: str
) -> NDArray[np.float32]:
    """matrix @ tokens^T: (C, n), every number of which the dtype can hold."""
    products = np.empty((matrix.shape[0], len(tokens)), np.float32)
    for start in range(0, len(products), ROW_BLOCK):
        rows = slice(start, min(start + ROW_BLOCK, len(products)))
        np.matmul(matrix[rows], tokens.T, out=products[rows])
    # max() is NaN when any element is, so one pass finds NaN, infinity and overflow.
    largest = float(max(products.max(), -products.min()))
    if not np.isfinite(largest):
        raise OverflowError("the folded identity has NaN or infinite numbers")
    if dtype == "f16" and largest > F16_MAX:
        raise OverflowError(
            f"the folded identity reaches {largest:g}, more than f16 can hold; use f32"
        )
    return products
