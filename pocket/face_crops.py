"""What recognisers are trained on: aligned crops of many people, drawn once and kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from pulid_extractor.align import ARCFACE_PX, ARCFACE_TEMPLATE, similarity

from .degrade import degrade
from .portraits import Person, draw_portrait, identity_vector, sample_person, sample_scene

__all__ = ["MARGIN_PX", "CropSet", "draw_crop", "draw_crops", "make_crops", "random_cut"]

MARGIN_PX = 3
"""Around the crop, so that it can be cut a little off its place."""
CHUNK = 250
STYLE_SHARES = (0.6, 0.18, 0.22)
"""Of photo, monochrome and comic; rarer styles are shown more often than they are drawn."""
SIDES_PX = {128: (0.65, 3), 192: (0.15, 3), 320: (0.2, 2)}
"""Size of the picture: its share, and how much larger it is drawn."""
LANDMARK_NOISE = 0.02
"""Of the landmarks, in distances from eye to eye."""
NARROW_POSE, NARROW_SHARE = 0.25, 0.3


@dataclass(frozen=True)
class CropSet:
    """Crops of `n` people, `k` of each.

    Attributes:
        crops: (n, k, side, side, 3) uint8 RGB, side = 112 + 2 * MARGIN_PX.
        people: (n, IDENTITY_DIM) float32.
    """

    crops: np.ndarray
    people: np.ndarray


def make_crops(folder: Path, prefix: int, n_people: int, per_person: int) -> CropSet:
    """Draw crops into `folder`, or read what an earlier run drew there.

    Args:
        prefix: First digits of the seeds, see `README.md`: another prefix, other people.
    """
    stem = f"crops{prefix}_{n_people}x{per_person}"
    crops, people = folder / f"{stem}.npy", folder / f"{stem}_people.npy"
    if not people.exists():
        folder.mkdir(parents=True, exist_ok=True)
        side = ARCFACE_PX + 2 * MARGIN_PX
        part = crops.with_suffix(".part")
        shape = (n_people, per_person, side, side, 3)
        kept = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        vectors = []
        for chunk, start in enumerate(range(0, n_people, CHUNK)):
            count = min(CHUNK, n_people - start)
            drawn = draw_crops(prefix * 1_000_000 + chunk, count, per_person)
            kept[start : start + count] = drawn.crops
            vectors.append(drawn.people)
        kept.flush()
        del kept
        os.replace(part, crops)
        np.save(people, np.concatenate(vectors))
    return CropSet(np.load(crops, mmap_mode="r"), np.load(people))


def draw_crops(seed: int, n_people: int, per_person: int) -> CropSet:
    """Draw crops; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    side = ARCFACE_PX + 2 * MARGIN_PX
    crops = np.empty((n_people, per_person, side, side, 3), np.uint8)
    people = []
    for i in range(n_people):
        person = sample_person(rng)
        people.append(identity_vector(person))
        for k in range(per_person):
            crops[i, k] = draw_crop(person, rng, int(rng.choice(3, p=STYLE_SHARES)))
    return CropSet(crops, np.stack(people))


def draw_crop(person: Person, rng: np.random.Generator, style: int) -> np.ndarray:
    """One crop of a person: (side, side, 3) uint8 RGB."""
    shares = [share for share, _ in SIDES_PX.values()]
    pose = NARROW_POSE if rng.random() < NARROW_SHARE else 1.0
    scene = sample_scene(rng, pose=pose, style=style)
    side_px = int(rng.choice(list(SIDES_PX), p=shares))
    portrait = draw_portrait(person, scene, side_px, oversampling=SIDES_PX[side_px][1])
    eyes = np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0])
    noise = rng.normal(0, LANDMARK_NOISE * eyes, (5, 2))
    matrix = similarity(portrait.landmarks + noise, ARCFACE_TEMPLATE + MARGIN_PX)
    size = (ARCFACE_PX + 2 * MARGIN_PX,) * 2
    return cv2.warpAffine(degrade(portrait.pixels, rng), matrix, size, borderValue=0.0)


def random_cut(crops: np.ndarray, brightness: float = 0.06) -> torch.Tensor:
    """Crops of 112 px as a recogniser takes them, each a little off and lighter or darker.

    Args:
        crops: (n, side, side, 3) uint8.
        brightness: Largest change; 0 also cuts every crop in its middle.

    Returns:
        (n, 3, 112, 112) float32 RGB, (x - 127.5) / 127.5.
    """
    n, reach = len(crops), 2 * MARGIN_PX + 1
    places = torch.randint(0, reach, (n, 2)) if brightness else torch.full((n, 2), MARGIN_PX)
    cut = np.stack(
        [
            crop[y : y + ARCFACE_PX, x : x + ARCFACE_PX]
            for crop, (y, x) in zip(crops, places.tolist(), strict=True)
        ]
    )
    light = 1 + brightness * (2 * torch.rand(n, 1, 1, 1) - 1)
    pictures = torch.from_numpy(cut).permute(0, 3, 1, 2).float() * light
    return (pictures.clamp_(max=255) - 127.5) / 127.5
