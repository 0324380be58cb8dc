"""How well results can be told by their reference: cosine, AUC, top-1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FaceSimilarity", "area_under_curve", "cosine_similarities", "summarise_similarity"]


@dataclass(frozen=True)
class FaceSimilarity:
    """What one recogniser says of one set of results. None: there is nothing to compute it of.

    Attributes:
        mean: Of the cosine between a result and its own reference, -1 to 1.
        std: Standard deviation of the same, over results.
        random_mean: Of the cosine between a result and each other person's reference.
        auc: Chance that a random own pair is more alike than a random other one; ties count half.
        top_1: Share of results that are more like their own reference than like any other.
    """

    mean: float | None
    std: float | None
    random_mean: float | None
    auc: float | None
    top_1: float | None


def cosine_similarities(results: ArrayLike, references: ArrayLike) -> NDArray[np.float64]:
    """The cosine of the angle between every result and every reference.

    Args:
        results: (n, d). A row of zeros stands for a picture without a face.
        references: (m, d).

    Returns:
        (n, m) in -1..1; 0 where a row is all zeros.
    """
    cosines: NDArray[np.float64] = _directions(results) @ _directions(references).T
    return cosines


def area_under_curve(positives: ArrayLike, negatives: ArrayLike) -> float | None:
    """Area under the ROC curve, by ranks; None when either is empty.

    Args:
        positives: (n,) scores of pairs that belong together.
        negatives: (m,) scores of pairs that do not.

    Source: Hanley and McNeil (1982): it is U / (n m) with Mann and Whitney's
    U = (sum of the ranks of the positives) - n (n + 1) / 2, equal scores sharing their mean rank.
    """
    positive = np.asarray(positives, np.float64).ravel()
    negative = np.asarray(negatives, np.float64).ravel()
    n, m = len(positive), len(negative)
    if n == 0 or m == 0:
        return None
    _, group, counts = np.unique(
        np.concatenate([positive, negative]), return_inverse=True, return_counts=True
    )
    # A group of c equal scores that ends at rank e has the mean rank e - (c - 1) / 2.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def summarise_similarity(similarities: ArrayLike, own: ArrayLike) -> FaceSimilarity:
    """The figures of one set of results.

    Args:
        similarities: (n, m), of every result and every reference.
        own: (n,) integers: which reference each result was made of.
    """
    values = np.asarray(similarities, np.float64)
    if values.size == 0:
        return FaceSimilarity(None, None, None, None, None)
    is_own = np.arange(values.shape[1]) == np.asarray(own)[:, None]
    matched, others = values[is_own], values[~is_own]
    if others.size == 0:
        return FaceSimilarity(float(matched.mean()), float(matched.std()), None, None, None)
    best_other = np.where(is_own, -np.inf, values).max(axis=1)
    return FaceSimilarity(
        mean=float(matched.mean()),
        std=float(matched.std()),
        random_mean=float(others.mean()),
        auc=area_under_curve(matched, others),
        # A tie is no recognition: without a face all similarities are 0.
        top_1=float((matched > best_other).mean()),
    )


def _directions(rows: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    directions = np.zeros_like(values)
    np.divide(values, lengths, out=directions, where=lengths > 0)
    return directions
