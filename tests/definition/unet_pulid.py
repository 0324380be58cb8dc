"""PuLID in one cross-attention layer of SDXL's UNet, written from the formulas, in float64.

What the folded layers and the engine are compared to, so it is plain and slow: the zero tokens
are really appended, and heads, people and channels are loops. One picture, one layer:

    h = softmax(Q Ktext^T / 8) Vtext, heads side by side, before to_out           (T, C)
    E = identity tokens, then NUM_ZERO rows of zeros;  K = E Wk^T,  V = E Wv^T
    z = softmax(Q K^T / 8) V                                                      (T, C)

    none      delta = s z
    ortho     delta = s (z - g h)               g_c = sum_t h_tc z_tc / sum_t h_tc^2
    ortho_v2  delta = s (z + (m_t - 1) g h)     m_t = mean over heads of the sum over the first
                                                five tokens of softmax(Q K^T), unscaled

    y = h + sum over people of delta

Source: ToTheBeginning/PuLID, pulid/attention_processor.py (IDAttnProcessor2_0). Its constants
NUM_ZERO, ORTHO and ORTHO_v2 are `zeros` and `projection` here; its id_scale is `weight`.

Two things are this project's own, as PuLID has one person in the whole picture. With a region r,
one number for each picture token, both sums of g are weighted by r and delta is s r_t times what
stands in brackets; so what is added stays orthogonal to h where it is added, and r = 1 is PuLID's
formula. And each of several people is computed against the same h, so their order has no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "FIRST_TOKENS",
    "HEAD_DIM",
    "PROJECTIONS",
    "UnetUse",
    "first_token_share",
    "identity_delta",
    "identity_keys_values",
    "softmax",
    "with_identities",
]

HEAD_DIM = 64
"""Width of an attention head in every cross-attention of SDXL's UNet."""
FIRST_TOKENS = 5
"""The tokens that ortho_v2 looks at; PuLID v1's are those of the face recognition network."""
PROJECTIONS = ("none", "ortho", "ortho_v2")


@dataclass(frozen=True, eq=False)
class UnetUse:
    """How one identity takes part in a layer.

    Attributes:
        tokens: (n, id_dim) identity tokens.
        weight: PuLID's id_scale.
        projection: One of PROJECTIONS.
        zeros: How many zero tokens follow the identity's; PuLID's NUM_ZERO.
        region: (T,), how much of each picture token is the person's; None: all of all.
    """

    tokens: np.ndarray
    weight: float = 1.0
    projection: str = "ortho_v2"
    zeros: int = 8
    region: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.projection not in PROJECTIONS:
            raise ValueError(f"projection: expected one of {PROJECTIONS}, not {self.projection!r}")


def with_identities(
    q: np.ndarray, h: np.ndarray, uses: Sequence[UnetUse], w_k: np.ndarray, w_v: np.ndarray
) -> np.ndarray:
    """A layer's attention before `to_out`, with everybody in it.

    Args:
        q: (T, C) the queries, `to_q` of the picture tokens.
        h: (T, C) the attention to the text.
        uses: The people; nobody gives h.
        w_k, w_v: (C, id_dim), the layer's id_to_k and id_to_v.

    Returns:
        (T, C) float64.
    """
    added = np.zeros(h.shape)
    for use in uses:
        added += identity_delta(q, h, use, w_k, w_v)
    return np.asarray(h, np.float64) + added


def identity_delta(
    q: np.ndarray, h: np.ndarray, use: UnetUse, w_k: np.ndarray, w_v: np.ndarray
) -> np.ndarray:
    """What one identity adds to a layer's attention; arguments as those of `with_identities`."""
    q, h = np.asarray(q, np.float64), np.asarray(h, np.float64)
    region = np.ones(len(h)) if use.region is None else np.asarray(use.region, np.float64)
    keys, values = identity_keys_values(use, w_k, w_v)

    z = np.empty_like(h)
    for head in _heads(h.shape[1]):
        probabilities = softmax(q[:, head] @ keys[:, head].T / np.sqrt(HEAD_DIM))
        z[:, head] = probabilities @ values[:, head]

    if use.projection == "none":
        return use.weight * region[:, None] * z

    along_h = np.zeros_like(h)
    for channel in range(h.shape[1]):
        squares = np.sum(region * h[:, channel] ** 2)
        if squares > 0:  # zero in an empty region, where nothing is added anyway
            g = np.sum(region * h[:, channel] * z[:, channel]) / squares
            along_h[:, channel] = g * h[:, channel]

    if use.projection == "ortho":
        return use.weight * region[:, None] * (z - along_h)
    m = first_token_share(q, keys)
    return use.weight * region[:, None] * (z + (m[:, None] - 1) * along_h)


def identity_keys_values(
    use: UnetUse, w_k: np.ndarray, w_v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values, each (n + zeros, C) float64: of the identity's tokens, then of zeros."""
    nothing = np.zeros((use.zeros, use.tokens.shape[1]))
    tokens = np.concatenate([np.asarray(use.tokens, np.float64), nothing])
    return tokens @ np.asarray(w_k, np.float64).T, tokens @ np.asarray(w_v, np.float64).T


def first_token_share(q: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """m of ortho_v2, (T,) from 0 to 1: 1 where only the first five tokens are looked at.

    Args:
        q: (T, C).
        keys: (n + zeros, C), as `identity_keys_values` gives them.
    """
    shares = [
        softmax(q[:, head] @ keys[:, head].T)[:, :FIRST_TOKENS].sum(axis=1)
        for head in _heads(q.shape[1])
    ]
    return np.mean(shares, axis=0)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _heads(width: int) -> list[slice]:
    """The channels of each head."""
    return [slice(start, start + HEAD_DIM) for start in range(0, width, HEAD_DIM)]
