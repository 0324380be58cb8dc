"""How well a recogniser knows people it was not trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .face_crops import draw_crop, random_cut
from .portraits import identity_vector, sample_person
from .portraits.people import Person
from .portraits.scenes import STYLES

__all__ = ["UnseenPeople", "identity_read", "recogniser_figures"]

SEED = 9_000_000
AT_ONCE = 64


class UnseenPeople:
    """Crops of people that no network was trained on: two photos and one of each other style.

    Attributes:
        crops: By name, (n, side, side, 3) uint8: "photo", "second photo", "monochrome", "comic".
        people: (n, IDENTITY_DIM) float32.
    """

    def __init__(self, n_people: int = 256, seed: int = SEED) -> None:
        rng = np.random.default_rng(seed)
        people: list[Person] = [sample_person(rng) for _ in range(n_people)]
        self.people = np.stack([identity_vector(person) for person in people])
        names = {
            "photo": "photo",
            "second photo": "photo",
            "monochrome": "monochrome",
            "comic": "comic",
        }
        self.crops = {
            name: np.stack([draw_crop(person, rng, STYLES.index(style)) for person in people])
            for name, style in names.items()
        }


def recogniser_figures(network: nn.Module, unseen: UnseenPeople) -> dict[str, float]:
    """Cosines of pairs, area under the ROC curve, and how often the nearest person is the same.

    Returns:
        For every other picture against the first photo: mean cosine of the same person ("same"),
        its 5 % quantile, mean and standard deviation for two different people, "auc", "top1".
    """
    units = {name: _units(network, crops) for name, crops in unseen.crops.items()}
    figures: dict[str, float] = {}
    for name in ("second photo", "monochrome", "comic"):
        cosines = units["photo"] @ units[name].T
        same = np.diag(cosines)
        other = cosines[~np.eye(len(cosines), dtype=bool)]
        figures |= {
            f"{name} same": float(same.mean()),
            f"{name} same 5 %": float(np.quantile(same, 0.05)),
            f"{name} other": float(other.mean()),
            f"{name} other spread": float(other.std()),
            f"{name} auc": float(np.searchsorted(np.sort(other), same).mean() / len(other)),
            f"{name} top1": float((cosines.argmax(0) == np.arange(len(same))).mean()),
        }
    return figures


def identity_read(
    network: nn.Module, unseen: UnseenPeople, linear: nn.Linear
) -> tuple[np.ndarray, float]:
    """Share of each identity number's variance that the photo's embedding explains, linearly.

    Returns:
        (IDENTITY_DIM,) one share each, and their mean.
    """
    with torch.no_grad():
        read = linear(network(random_cut(unseen.crops["photo"], 0))).numpy()
    left = ((read - unseen.people) ** 2).mean(0) / unseen.people.var(0).clip(1e-6)
    return 1 - left, float((1 - left).mean())


@torch.no_grad()
def _units(network: nn.Module, crops: np.ndarray) -> np.ndarray:
    starts = range(0, len(crops), AT_ONCE)
    parts = [network(random_cut(crops[start : start + AT_ONCE], 0)) for start in starts]
    embeddings = torch.cat(parts)
    return torch.nn.functional.normalize(embeddings, dim=1).numpy()
