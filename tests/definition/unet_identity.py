"""PuLID in a cross-attention layer of SDXL's UNet, as the engine's graph computes it.

The same as `unet_pulid`, in another form: keys and values come folded, padded with rows of zeros
to a multiple of eight. One row of zeros stands for all of NUM_ZERO zero tokens, which are equal:
exp(0) so many times is one row with a bias of ln(NUM_ZERO). Rows behind it have a bias of -inf.
Axes are ggml's, read from the last to the first; the comments name the graph's operations.

`with_identities_folded` repeats the engine's precision: float32, and with `f16_inputs` what is
multiplied with a float16 matrix is rounded to float16 first, as ggml does on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from definition.unet_pulid import FIRST_TOKENS, HEAD_DIM, UnetUse, softmax

__all__ = ["FoldedUse", "first_rows", "row_bias", "with_identities_folded"]

TINY = 1e-20
"""Keeps the sums over an empty region from 0 / 0; nothing beside any other in float32."""


@dataclass(frozen=True, eq=False)
class FoldedUse:
    """How one folded identity takes part in a layer.

    Attributes:
        keys: (heads, rows, 64); rows from the number of tokens on are zeros.
        values: (heads, 64, rows).
        use: The same identity unfolded.
    """

    keys: np.ndarray
    values: np.ndarray
    use: UnetUse


def row_bias(n_tokens: int, zeros: int, rows: int) -> np.ndarray:
    """(rows,) what is added to the scores: 0 for tokens, ln(zeros) for all zero tokens, -inf."""
    bias = np.full(rows, -np.inf)
    bias[:n_tokens] = 0
    if zeros:
        bias[n_tokens] = np.log(zeros)
    return bias


def first_rows(n_tokens: int, zeros: int, rows: int) -> np.ndarray:
    """(rows,) how much of each row belongs to the first five tokens.

    One for each of five tokens. An identity of fewer is followed by zero tokens that count too.
    """
    share = np.zeros(rows)
    share[: min(n_tokens, FIRST_TOKENS)] = 1
    if zeros:
        share[n_tokens] = min(zeros, max(0, FIRST_TOKENS - n_tokens)) / zeros
    return share


def with_identities_folded(
    q: np.ndarray,
    h: np.ndarray,
    uses: Sequence[FoldedUse],
    *,
    dtype: type[np.floating] = np.float32,
    f16_inputs: bool = False,
) -> np.ndarray:
    """A layer's attention before `to_out`, with everybody in it.

    Args:
        q, h: (T, C), as `unet_pulid.with_identities` takes them.
        uses: The people.
        dtype: Of all computation.
        f16_inputs: Round what is multiplied with keys and values to float16.

    Returns:
        (T, C) of `dtype`.
    """
    q, h = np.asarray(q, dtype), np.asarray(h, dtype)
    n_picture, width = h.shape
    q_heads = q.reshape(n_picture, width // HEAD_DIM, HEAD_DIM).transpose(1, 0, 2)  # (64, T, H)
    h_t = np.ascontiguousarray(h.T)  # (T, C)
    delta = np.zeros_like(h)
    for folded in uses:
        use = folded.use
        rows = folded.keys.shape[1]
        keys, values = folded.keys.astype(dtype), folded.values.astype(dtype)
        bias = row_bias(len(use.tokens), use.zeros, rows).astype(dtype)

        def operand(x: np.ndarray) -> np.ndarray:
            return x.astype(np.float16).astype(dtype) if f16_inputs else x

        raw = operand(q_heads) @ keys.transpose(0, 2, 1)  # mul_mat(K, q): (R, T, H)
        scaled = raw * dtype(HEAD_DIM**-0.5)
        probabilities = softmax(scaled + bias)  # scale, add, soft_max
        z_heads = operand(probabilities) @ values.transpose(0, 2, 1)  # mul_mat(V, P): (64, T, H)
        added = z_heads.transpose(1, 0, 2).reshape(n_picture, width)  # permute, cont: (C, T)

        weight: np.ndarray = np.full((1, 1), use.weight, dtype)
        region_t = np.ones((1, n_picture), dtype)
        if use.region is not None:
            region_t = np.asarray(use.region, dtype)[None]
            weight = weight * region_t.T  # (1, T)
        if use.projection != "none":
            weighted = h_t * region_t
            numerator = np.sum(weighted * added.T, axis=1)  # mul, sum_rows: (C)
            squares = np.sum(weighted * h_t, axis=1)
            g = numerator / (squares + dtype(TINY))
            projected = h * g
            if use.projection == "ortho":
                added = added - projected
            else:
                selector = first_rows(len(use.tokens), use.zeros, rows).astype(dtype)
                unscaled = softmax(raw + bias)  # add, soft_max
                m = (unscaled @ selector).mean(axis=0)  # mul_mat, permute, sum_rows, scale
                added = added + projected * (m - 1)[:, None]
        delta += weight * added
    return h + delta
