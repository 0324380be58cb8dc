"""What Flux is trained on: latents of many people in many scenes, drawn on all cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .patches import PatchPca
from .portraits import Person, draw_portrait, identity_vector, sample_person, sample_scene

__all__ = [
    "SIDE_PX",
    "LatentSet",
    "draw_people",
    "draw_pictures",
    "encoded_pictures",
    "make_latents",
    "people_of",
]

SIDE_PX = 128
TARGET_POSE = 0.25
"""Of the range of pose and light, in what Flux draws; it recognises the whole range."""
CHUNK = 250


@dataclass(frozen=True)
class LatentSet:
    """Latents of `n` people in `k` scenes each.

    Attributes:
        latents: (n, k, 16, 16, 16) float16.
        scenes: (n, k, 4) uint8: background, expression, style, shirt.
        people: (n, IDENTITY_DIM) float32.
        tokens: (n, photos, 8, 256) float16: the identity that the IDFormer makes of photos of them.
    """

    latents: torch.Tensor
    scenes: torch.Tensor
    people: torch.Tensor
    tokens: torch.Tensor | None = None


def draw_pictures(
    seed: int, n_people: int, per_person: int, *, pose: float = TARGET_POSE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (n, k, side, side, 3) uint8, scenes (n, k, 4) uint8 and identity vectors (n, d)."""
    people = people_of(seed, n_people)
    pictures, scenes = draw_people(people, seed, per_person, pose=pose)
    return pictures, scenes, np.stack([identity_vector(person) for person in people])


def draw_people(
    people: Sequence[Person], seed: int, per_person: int, *, pose: float = TARGET_POSE
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and scenes of these people, as `draw_pictures`."""
    rng = np.random.default_rng([seed, 1])
    pictures = np.empty((len(people), per_person, SIDE_PX, SIDE_PX, 3), np.uint8)
    scenes = np.empty((len(people), per_person, 4), np.uint8)
    for i, person in enumerate(people):
        for k in range(per_person):
            scene = sample_scene(rng, pose=pose)
            pictures[i, k] = draw_portrait(person, scene, SIDE_PX).pixels
            scenes[i, k] = (scene.background, scene.expression, scene.style, scene.shirt)
    return pictures, scenes


def people_of(seed: int, count: int) -> list[Person]:
    """The people of a seed, whatever is drawn of them."""
    rng = np.random.default_rng(seed)
    return [sample_person(rng) for _ in range(count)]


def make_latents(file: Path, pca: PatchPca, n_people: int, per_person: int, seed: int) -> LatentSet:
    """Draw and encode, or read what an earlier run drew."""
    if not file.exists():
        seeds = [seed * 1_000_000 + chunk for chunk in range(-(-n_people // CHUNK))]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(partial(_encoded, pca=pca, per_person=per_person), seeds))
        latents, scenes, people = (
            np.concatenate(column)[:n_people] for column in zip(*parts, strict=True)
        )
        arrays = {"latents": latents, "scenes": scenes, "people": people}
        part = file.with_suffix(".part")
        torch.save({key: torch.from_numpy(value) for key, value in arrays.items()}, part)
        os.replace(part, file)
    return LatentSet(**torch.load(file, weights_only=True, mmap=True))


def encoded_pictures(
    people: Sequence[Person], seed: int, per_person: int, pca: PatchPca
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (n, k, 16, h, w) float16 and scenes (n, k, 4) uint8 of pictures drawn of people."""
    torch.set_num_threads(1)
    pictures, scenes = draw_people(people, seed, per_person)
    flat = torch.from_numpy(pictures.reshape(-1, SIDE_PX, SIDE_PX, 3)).float() / 255
    latents = pca.encode(flat).half().numpy()
    return latents.reshape(len(people), per_person, *latents.shape[1:]), scenes


def _encoded(
    seed: int, *, pca: PatchPca, per_person: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    people = people_of(seed, CHUNK)
    latents, scenes = encoded_pictures(people, seed, per_person, pca)
    return latents, scenes, np.stack([identity_vector(person) for person in people])
