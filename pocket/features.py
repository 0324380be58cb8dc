"""What the extractor's networks say about many pictures: what the IDFormer is trained on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from pulid_extractor.align import arcface_crop
from pulid_extractor.clip_picture import clip_picture
from pulid_extractor.eva_vision import EvaVision
from pulid_extractor.parsing import BiSeNet
from pulid_extractor.parsing_shape import BACKGROUND_LABELS, LUMA, N_LABELS

from .parser import normalised
from .portraits import identity_vector, sample_person
from .references import Reference, aligned, draw_reference

__all__ = ["FeatureSet", "Networks", "features_of", "make_features", "seen_by_tower"]

CHUNK = 250
AT_ONCE = 4
"""Pictures that go through the parser together: few, for they are large."""


@dataclass(frozen=True)
class Networks:
    """The extractor's, trained, for reading.

    Attributes:
        recogniser: (n, 3, 112, 112) RGB, (x - 127.5) / 127.5, to (n, 512).
    """

    parser: BiSeNet
    tower: EvaVision
    recogniser: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FeatureSet:
    """Features of `n` people, `k` pictures of each.

    Attributes:
        embeddings: (n, k, 512 + CLIP's) float16: the recogniser's, then the tower's.
        hidden: (n, k, 5, tokens, width) float16: the depths of the tower.
        people: (n, IDENTITY_DIM) float32.
    """

    embeddings: np.ndarray
    hidden: np.ndarray
    people: np.ndarray


def make_features(
    folder: Path, name: str, networks: Networks, seed: int, n_people: int, per_person: int
) -> FeatureSet:
    """Compute features into `folder`, or read what an earlier run left; each file of 250 people.

    Args:
        seed: Of the first 250 people; the next are drawn from the number above.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for index, start in enumerate(range(0, n_people, CHUNK)):
        count = min(CHUNK, n_people - start)
        file = folder / f"{name}_{count}x{per_person}_{index}.npz"
        if not file.exists():
            drawn = _draw(networks, seed + index, count, per_person)
            part = file.with_suffix(".part.npz")
            np.savez(part, **vars(drawn))
            os.replace(part, file)
        with np.load(file) as arrays:
            parts.append(FeatureSet(**arrays))
    return FeatureSet(
        *(
            np.concatenate([getattr(part, field) for part in parts])
            for field in ("embeddings", "hidden", "people")
        )
    )


@torch.no_grad()
def features_of(
    references: list[Reference], networks: Networks
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (n, 512 + CLIP's) and depths (n, 5, tokens, width) of pictures, float32."""
    crops = np.stack([aligned(reference)[0] for reference in references])
    faces = [arcface_crop(reference.pixels, reference.landmarks) for reference in references]
    recognised = networks.recogniser(
        torch.from_numpy(cv2.dnn.blobFromImages(faces, 1 / 127.5, mean=(127.5,) * 3))
    )
    seen, hidden = networks.tower(
        seen_by_tower(crops, networks.parser, networks.tower.shape.image_px)
    )
    return torch.cat([recognised, seen], 1).clone(), torch.stack(hidden, 1).clone()


@torch.no_grad()
def seen_by_tower(crops: np.ndarray, parser: BiSeNet, side_px: int) -> torch.Tensor:
    """Crops (n, 512, 512, 3) uint8 as the tower takes them, (n, 3, side, side) float32.

    The same as `clip_picture(face_only(...), side_px)` at a third of its time.
    """
    white = torch.zeros(N_LABELS, dtype=torch.bool)
    white[list(BACKGROUND_LABELS)] = True
    pictures = []
    for start in range(0, len(crops), AT_ONCE):
        some = crops[start : start + AT_ONCE]
        scores = parser(normalised(some))
        background = scores[:, white].amax(1) >= scores[:, ~white].amax(1)
        grey = torch.from_numpy(some @ np.array(LUMA, np.float32)) / 255
        face = torch.where(background, 1.0, grey)[:, None]
        pictures.append(clip_picture(face.expand(-1, 3, -1, -1), side_px))
    return torch.cat(pictures)


def _draw(networks: Networks, seed: int, n_people: int, per_person: int) -> FeatureSet:
    rng = np.random.default_rng(seed)
    people, embeddings, hidden = [], [], []
    for _ in range(n_people):
        person = sample_person(rng)
        people.append(identity_vector(person))
        references = [draw_reference(person, rng) for _ in range(per_person)]
        both = features_of(references, networks)
        embeddings.append(both[0].half().numpy())
        hidden.append(both[1].half().numpy())
    return FeatureSet(np.stack(embeddings), np.stack(hidden), np.stack(people))
