"""What the face detector is trained on: pictures with none, one or many portraits in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

from .degrade import degrade
from .portraits import draw_portrait, sample_person, sample_scene

__all__ = ["POOL", "PortraitSet", "canvas", "draw_portraits", "photographs"]

POOL = 4
"""The detector sees pictures this much smaller; canvases are drawn at that size."""
SIDE_PX = 160
LEAST_FACE_PX = 9.0
"""On a canvas; smaller ones are neither asked for nor forbidden."""
EMPTY_SHARE = 0.22
"""Of the canvases: nobody is there."""
NEVER_TRAINED_ON = ("astronaut", "camera", "chelsea", "coffee", "rocket")
"""Photographs of scikit-image kept for counting false alarms."""


@dataclass(frozen=True)
class PortraitSet:
    """Portraits, each with one face.

    Attributes:
        pixels: (n, side, side, 3) uint8 RGB.
        points: (n, 7, 2) float32, pixels: corners of the box, then five landmarks.
    """

    pixels: np.ndarray
    points: np.ndarray


def draw_portraits(seed: int, n: int, side_px: int = SIDE_PX) -> PortraitSet:
    """Portraits of different people; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((n, side_px, side_px, 3), np.uint8)
    points = np.empty((n, 7, 2), np.float32)
    for i in range(n):
        scene = sample_scene(rng, style=int(rng.choice(3, p=(0.6, 0.2, 0.2))))
        portrait = draw_portrait(sample_person(rng), scene, side_px)
        pixels[i] = degrade(portrait.pixels, rng)
        points[i] = np.concatenate([portrait.box.reshape(2, 2), portrait.landmarks])
    return PortraitSet(pixels, points)


def photographs(*, held_out: bool = False) -> list[np.ndarray]:
    """Photographs without drawn faces, (H, W, 3) uint8, that scikit-image brings along."""
    folder = Path(skimage.data.__file__).parent
    found = []
    for file in sorted(folder.glob("*.[jp][pn]g")):
        if (file.stem in NEVER_TRAINED_ON) == held_out:
            found.append(np.asarray(Image.open(file).convert("RGB")))
    return found


def canvas(
    rng: np.random.Generator, side_px: int, portraits: PortraitSet, photos: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """A picture as the detector sees it, already made smaller by POOL.

    Returns:
        (side, side, 3) uint8 RGB and (faces, 7, 2) float32 pixels of the picture that was not
        yet made smaller, as in PortraitSet.
    """
    kind = rng.random()
    picture = _ground(rng, side_px, photos, photo_share=0.7 if kind < EMPTY_SHARE else 0.3)
    faces = []
    if kind < EMPTY_SHARE:
        pass
    elif kind < 0.58:
        # As insightface fits a photo into its square: at the top left, black beside it.
        pixels, points = _portrait(rng, portraits)
        scale = side_px / max(pixels.shape[:2])
        picture[:] = 0
        faces.append(_paste(picture, pixels, points, scale, np.zeros(2)))
    elif kind < 0.72:
        pixels, points = _portrait(rng, portraits)
        scale = rng.uniform(0.2, 0.9) * side_px / max(pixels.shape[:2])
        room = side_px - np.array(pixels.shape[1::-1]) * scale
        faces.append(_paste(picture, pixels, points, scale, rng.uniform(0, 1, 2) * room))
    else:
        most = max(2, min(6, side_px // 24))
        rows, columns = rng.integers(1, most + 1, 2)
        width, height = side_px / columns, side_px / rows
        share = 1.0 if rng.random() < 0.4 else rng.uniform(0.5, 1.0)
        for place in range(rows * columns):
            if rng.random() < 0.15:
                continue
            pixels, points = _portrait(rng, portraits)
            scale = share * min(width / pixels.shape[1], height / pixels.shape[0])
            room = np.array([width, height]) - np.array(pixels.shape[1::-1]) * scale
            corner = np.array([place % columns * width, place // columns * height])
            corner += room * (0 if share == 1.0 else rng.uniform(0, 1, 2))
            faces.append(_paste(picture, pixels, points, scale, corner))
    if rng.random() < 0.2:
        noise = rng.standard_normal(picture.shape, np.float32) * rng.uniform(1, 8)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    marks = np.stack(faces) if faces else np.zeros((0, 7, 2), np.float32)
    return picture, marks * POOL


def _ground(
    rng: np.random.Generator, side_px: int, photos: list[np.ndarray], *, photo_share: float
) -> np.ndarray:
    shape = (side_px, side_px, 3)
    if rng.random() < photo_share:
        return _photograph(rng, side_px, photos)
    kind = rng.random()
    if kind < 0.42:
        return np.zeros(shape, np.uint8)
    if kind < 0.7:
        return np.full(shape, rng.integers(0, 256, 3), np.uint8)
    if kind < 0.85:
        noise = rng.normal(128, rng.uniform(10, 90), shape).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.3, 6))
        return np.clip(128 + (noise - 128) * rng.uniform(1, 4), 0, 255).astype(np.uint8)
    return _shapes(rng, side_px)


def _photograph(rng: np.random.Generator, side_px: int, photos: list[np.ndarray]) -> np.ndarray:
    """A square of a photograph."""
    photo = photos[rng.integers(len(photos))]
    cut = int(rng.uniform(0.25, 1.0) * min(photo.shape[:2]))
    y, x = (int(rng.integers(0, length - cut + 1)) for length in photo.shape[:2])
    small = cv2.resize(
        photo[y : y + cut, x : x + cut], (side_px, side_px), interpolation=cv2.INTER_AREA
    )
    return np.ascontiguousarray(small[:, ::-1] if rng.random() < 0.5 else small)


def _shapes(rng: np.random.Generator, side_px: int) -> np.ndarray:
    """Ellipses and rectangles, which are no faces."""
    picture = np.full((side_px, side_px, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(int(rng.integers(2, 14))):
        color = [int(part) for part in rng.integers(0, 256, 3)]
        x, y = (int(part) for part in rng.integers(0, side_px, 2))
        size = [int(part) for part in rng.integers(2, max(3, side_px // 3), 2)]
        if rng.random() < 0.5:
            cv2.ellipse(picture, (x, y), size, float(rng.uniform(0, 180)), 0, 360, color, -1)
        else:
            cv2.rectangle(picture, (x, y), (x + size[0], y + size[1]), color, -1)
    return picture


def _portrait(rng: np.random.Generator, portraits: PortraitSet) -> tuple[np.ndarray, np.ndarray]:
    """One of the portraits, whole or cut around its face."""
    index = rng.integers(len(portraits.pixels))
    pixels, points = portraits.pixels[index], portraits.points[index]
    if rng.random() < 0.35:
        box = points[:2]
        size = box[1] - box[0]
        first = np.floor(np.clip(box[0] - rng.uniform(0.05, 0.6, 2) * size, 0, None)).astype(int)
        last = np.ceil(np.clip(box[1] + rng.uniform(0.05, 0.6, 2) * size, None, len(pixels)))
        pixels = pixels[first[1] : int(last[1]), first[0] : int(last[0])]
        points = points - first
    if rng.random() < 0.25:
        gain = rng.uniform(0.7, 1.25)
        pixels = np.clip(pixels * gain, 0, 255).astype(np.uint8)
    return pixels, points


def _paste(
    picture: np.ndarray, pixels: np.ndarray, points: np.ndarray, scale: float, corner: np.ndarray
) -> np.ndarray:
    """Put `pixels`, made `scale` times larger, into `picture`, and give where the points are."""
    x, y = (int(part) for part in corner)
    height, width = (max(1, int(length * scale)) for length in pixels.shape[:2])
    height, width = min(height, len(picture) - y), min(width, len(picture) - x)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture[y : y + height, x : x + width] = cv2.resize(pixels, (width, height), interpolation=kind)
    stretch = np.array([width / pixels.shape[1], height / pixels.shape[0]])
    return (points * stretch + (x, y)).astype(np.float32)
