"""Which numbers of an identity vector tell what, and how well somebody read them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from .portraits.palette import EYES, GLASSES, HAIR
from .portraits.people import BEARDS, FRAMES, HAIRSTYLES, IDENTITY_DIM, MOLES, Person

__all__ = ["GROUPS", "group_scores"]

_CHOICES = {
    "hairstyle": HAIRSTYLES,
    "hair": HAIR,
    "eyes": EYES,
    "frames": FRAMES,
    "frame_color": GLASSES,
    "beard": BEARDS,
    "mole": MOLES,
}
_YES_OR_NO = ("freckles", "blush", "earrings", "parting")


def _columns() -> dict[str, slice]:
    columns, start = {}, 0
    for field in fields(Person):
        width = len(_CHOICES.get(field.name, "1"))
        columns[field.name] = slice(start, start + width)
        start += width
    if start != IDENTITY_DIM:
        raise ValueError(f"the attributes of a person fill {start} of {IDENTITY_DIM} numbers")
    return columns


GROUPS: dict[str, slice] = _columns()
"""Where each attribute of a Person is in its identity vector."""


def group_scores(told: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How well each attribute was read, of the people on whom it can be seen.

    Args:
        told: (n, IDENTITY_DIM) readings.
        truth: (n, IDENTITY_DIM) identity vectors.

    Returns:
        By attribute: for choices and for yes or no the share read right (yes or no: the mean of
        the shares of both), for numbers 1 - error variance / variance (R squared).
    """
    scores = {}
    for name, columns in GROUPS.items():
        said, real = told[:, columns], truth[:, columns]
        if name in _CHOICES:
            seen = real.any(axis=1)
            right = said[seen].argmax(axis=1) == real[seen].argmax(axis=1)
            scores[name] = float(right.mean()) if seen.any() else float("nan")
        elif name in _YES_OR_NO:
            yes = real > 0.5
            shares = [(said[yes] > 0.5).mean() if yes.any() else 1.0, (said[~yes] <= 0.5).mean()]
            scores[name] = float(np.mean(shares))
        else:
            scores[name] = float(1 - np.mean((said - real) ** 2) / max(real.var(), 1e-9))
    return scores
