"""What PuLID adds in one cross-attention of SDXL's UNet, so that it can be trained.

Source of the formulas: ToTheBeginning/PuLID, pulid/attention_processor.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["HEAD_DIM", "Mode", "Person", "heads", "identity_delta"]

HEAD_DIM = 64
SPARED_TOKENS = 5
"""Where a picture token looks at these, ortho_v2 projects nothing away."""
_NOTHING = 1e-6
_NEVER = -1e9
"""A logit so low that its token has no share."""


@dataclass(frozen=True)
class Mode:
    """How identities are added: as `id_projection` and `id_zeros` of a picture.

    Attributes:
        projection: "ortho_v2" or "none".
        zeros: Tokens of zeros beside the identity's.
    """

    projection: str
    zeros: int


@dataclass(frozen=True)
class Person:
    """One person in each picture of a batch.

    Attributes:
        tokens: (n, identity tokens, id_dim) float32.
        weights: (n,) float32.
        half: 0 for the left and 1 for the right half of pictures twice as wide as high; None:
            everywhere.
    """

    tokens: torch.Tensor
    weights: torch.Tensor
    half: int | None = None


def heads(x: torch.Tensor) -> torch.Tensor:
    """(n, tokens, heads * 64) -> (n, heads, tokens, 64)."""
    return x.unflatten(-1, (-1, HEAD_DIM)).transpose(1, 2)


def identity_delta(
    queries: torch.Tensor,
    text: torch.Tensor,
    person: Person,
    id_to_k: torch.Tensor,
    id_to_v: torch.Tensor,
    mode: Mode,
) -> torch.Tensor:
    """What a person adds to the attention to the text, before `to_out`.

    Tokens of zeros have keys and values of zeros: one column with the logarithm of their number
    is all of them.

    Args:
        queries: (n, heads, picture tokens, 64) float32.
        text: (n, picture tokens, width) float32, the attention to the text.
        id_to_k, id_to_v: (width, id_dim).

    Returns:
        Like `text`.
    """
    keys, values = (heads(F.linear(person.tokens, matrix)) for matrix in (id_to_k, id_to_v))
    logits = queries @ keys.transpose(-1, -2)
    none = logits.new_full((*logits.shape[:-1], 1), math.log(mode.zeros) if mode.zeros else _NEVER)
    shares = torch.cat([logits / math.sqrt(HEAD_DIM), none], -1).softmax(-1)[..., :-1]
    added = (shares @ values).transpose(1, 2).flatten(2)
    region = _region(person.half, queries.shape[2])
    if mode.projection == "ortho_v2":
        within = region * text
        along = (within * added).sum(1, keepdim=True) / (
            (within * text).sum(1, keepdim=True) + _NOTHING
        )
        seen = torch.cat([logits, none], -1).softmax(-1)[..., :SPARED_TOKENS].sum(-1)
        added = added + (seen.mean(1)[..., None] - 1) * along * text
    return region * person.weights[:, None, None] * added


def _region(half: int | None, tokens: int) -> torch.Tensor:
    """(1, tokens, 1): 1 where the person is; rows of a picture twice as wide as high."""
    if half is None:
        return torch.ones(1, 1, 1)
    columns = math.isqrt(2 * tokens)
    region = torch.zeros(tokens // columns, columns)
    region[:, columns // 2 * half : columns // 2 * (half + 1)] = 1
    return region.reshape(1, tokens, 1)
