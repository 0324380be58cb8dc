"""Pictures of two people side by side in one scene: what the LoRA for two people is trained on."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .dataset import SIDE_PX, TARGET_POSE
from .patches import PatchPca
from .portraits import Person, draw_portrait, sample_scene
from .portraits.people import person_from
from .portraits.scenes import Scene

__all__ = ["PairSet", "draw_pair", "make_pairs"]

CHUNK = 500


@dataclass(frozen=True)
class PairSet:
    """`n` pictures of two people.

    Attributes:
        latents: (n, 16, 16, 32) float16.
        scenes: (n, 4) uint8: background, expression, style, shirt, of both.
        who: (n, 2) int64: left and right, an index into `people`.
        people: (m, IDENTITY_DIM) float32.
        tokens: (m, photos, 8, 256) float16: see `dataset.LatentSet`.
    """

    latents: torch.Tensor
    scenes: torch.Tensor
    who: torch.Tensor
    people: torch.Tensor
    tokens: torch.Tensor


def make_pairs(
    file: Path, pca: PatchPca, people: np.ndarray, tokens: torch.Tensor, count: int, seed: int
) -> PairSet:
    """Draw and encode `count` pairs of these people, or read what an earlier run drew."""
    if not file.exists():
        chunks = [seed * 1_000_000 + chunk for chunk in range(-(-count // CHUNK))]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(partial(_encoded, people=people, pca=pca), chunks))
        arrays = (np.concatenate(column)[:count] for column in zip(*parts, strict=True))
        tensors = map(torch.from_numpy, arrays)
        part = file.with_suffix(".part")
        torch.save(dict(zip(("latents", "scenes", "who"), tensors, strict=True)), part)
        os.replace(part, file)
    saved = torch.load(file, weights_only=True, mmap=True)
    return PairSet(people=torch.from_numpy(people), tokens=tokens, **saved)


def draw_pair(
    left: Person, right: Person, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """(side, 2 side, 3) uint8 pixels and the scene; each person stands as he likes."""
    scene = sample_scene(rng, pose=TARGET_POSE)
    shared = (scene.background, scene.expression, scene.style, scene.shirt)
    halves = []
    for person, middle in ((left, -0.5), (right, 0.5)):
        pose = sample_scene(rng, pose=TARGET_POSE)
        seen: dict[str, Any] = dict(
            zip(("background", "expression", "style", "shirt"), shared, strict=True)
        )
        own = replace(pose, **seen, **_light(scene, middle))
        halves.append(draw_portrait(person, own, SIDE_PX).pixels)
    return np.concatenate(halves, axis=1), shared


def _light(scene: Scene, middle: float) -> dict[str, Any]:
    """What half of a picture, its middle there between -1 and 1, sees of the light of the whole."""
    gain = 1 + 0.9 * scene.light * middle
    return {"brightness": scene.brightness * gain, "light": scene.light / 2 / gain}


def _encoded(
    seed: int, *, people: np.ndarray, pca: PatchPca
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    who = np.stack([rng.choice(len(people), 2, replace=False) for _ in range(CHUNK)])
    pixels, scenes = zip(
        *(draw_pair(person_from(people[a]), person_from(people[b]), rng) for a, b in who),
        strict=True,
    )
    latents = pca.encode(torch.from_numpy(np.stack(pixels)).float() / 255)
    return latents.half().numpy(), np.array(scenes, np.uint8), who
