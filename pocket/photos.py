"""The people whose photos the IDFormer was trained on, in new pictures: what Flux is tuned on.

Their identities are what the IDFormer makes of the photos, mistakes included.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .dataset import LatentSet, encoded_pictures
from .idformer import all_tokens, load_idformer, trained_features
from .patches import PatchPca
from .portraits.people import person_from

__all__ = ["photo_latents"]

PER_PERSON = 6
CHUNK = 250
SEED = 6_900_000


def photo_latents(folder: Path, pca: PatchPca) -> LatentSet:
    """Their latents, drawn once, with the tokens of the IDFormer as it is now."""
    features = trained_features(folder)
    tokens = all_tokens(load_idformer(folder), features).half()
    file = folder / "photos.pt"
    if not file.exists():
        chunks = range(0, len(features.people), CHUNK)
        vectors = [features.people[start : start + CHUNK] for start in chunks]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(partial(_drawn, pca=pca), range(len(vectors)), vectors))
        latents, scenes = (np.concatenate(column) for column in zip(*parts, strict=True))
        part = file.with_suffix(".part")
        torch.save({"latents": torch.from_numpy(latents), "scenes": torch.from_numpy(scenes)}, part)
        os.replace(part, file)
    saved = torch.load(file, weights_only=True, mmap=True)
    return LatentSet(people=torch.from_numpy(features.people), tokens=tokens, **saved)


def _drawn(index: int, vectors: np.ndarray, *, pca: PatchPca) -> tuple[np.ndarray, np.ndarray]:
    people = [person_from(vector) for vector in vectors]
    return encoded_pictures(people, SEED + index, PER_PERSON, pca)
