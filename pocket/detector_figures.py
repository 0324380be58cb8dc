"""How well the exported detector finds faces it was not trained on, through the extractor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from pulid_extractor.faces import Face, FaceFinder
from pulid_extractor.photo import load_photo
from pulid_sdcpp.errors import FaceNotFoundError

from .detector_scenes import PortraitSet, draw_portraits, photographs

__all__ = ["detector_figures", "false_alarms"]

SEED = 9_100_000
SIDES_PX = (128, 384)
GRID = (2, 3)
"""Portraits in a composite: rows, columns."""


def detector_figures(pack: Path, n: int = 120) -> dict[str, float]:
    """Recall and error on portraits of unseen people, large, small and several in one picture.

    Returns:
        For portraits of each size and composites: "recall", "extra" (faces found that are none,
        per picture), "error" (mean distance of a landmark from its place, in distances from eye to
        eye), "worst" (the 99 % quantile of that).
    """
    finder = FaceFinder(
        pack / "antelopev2" / "scrfd_10g_bnkps.onnx", pack / "antelopev2" / "glintr100.onnx"
    )
    figures: dict[str, float] = {}
    for side_px in SIDES_PX:
        portraits = draw_portraits(SEED + side_px, n, side_px)
        pictures = zip(portraits.pixels, portraits.points[:, None], strict=True)
        figures |= _figures(finder, f"{side_px} px", pictures)
    figures |= _figures(finder, "composite", _composites(draw_portraits(SEED, n, 128)))
    return figures


def false_alarms(pack: Path) -> dict[str, int]:
    """Faces found, at any size the extractor tries, where there are none."""
    finder = FaceFinder(
        pack / "antelopev2" / "scrfd_10g_bnkps.onnx", pack / "antelopev2" / "glintr100.onnx"
    )
    rng = np.random.default_rng(SEED)
    blank = [np.full((256, 256, 3), value, np.uint8) for value in (0, 60, 128, 200, 255)]
    noise = [rng.integers(0, 256, (256, 256, 3), np.uint8) for _ in range(4)]
    noise += [cv2.GaussianBlur(picture, (0, 0), 4) for picture in noise]
    groups = {
        "blank": blank,
        "noise": noise,
        "photographs trained on": photographs(),
        "photographs": photographs(held_out=True),
    }
    return {
        f"{name} ({len(pictures)})": sum(len(_found(finder, picture)) for picture in pictures)
        for name, pictures in groups.items()
    }


def _composites(portraits: PortraitSet) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    rows, columns = GRID
    side = portraits.pixels.shape[1]
    corners = np.array(
        [(side * (i % columns), side * (i // columns)) for i in range(rows * columns)]
    )
    for start in range(0, len(portraits.pixels) - rows * columns + 1, rows * columns):
        tiles = portraits.pixels[start : start + rows * columns]
        picture = tiles.reshape(rows, columns, side, side, 3).swapaxes(1, 2)
        points = portraits.points[start : start + rows * columns] + corners[:, None]
        yield picture.reshape(rows * side, columns * side, 3), points


def _figures(
    finder: FaceFinder, name: str, pictures: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    errors, asked, extra, count = [], 0, 0, 0
    for picture, faces in pictures:
        found = _found(finder, picture)
        count += 1
        asked += len(faces)
        matched = 0
        for points in faces:
            eyes = np.linalg.norm(points[3] - points[2])
            misses = [np.linalg.norm(face.landmarks - points[2:], axis=1) / eyes for face in found]
            best = min(misses, key=lambda miss: float(miss.mean()), default=None)
            if best is not None and best.mean() < 0.3:
                matched += 1
                errors.append(best)
        extra += len(found) - matched
    all_errors = np.concatenate(errors) if errors else np.array([np.inf])
    return {
        f"{name} recall": len(errors) / asked,
        f"{name} extra": extra / count,
        f"{name} error": float(all_errors.mean()),
        f"{name} worst": float(np.quantile(all_errors, 0.99)),
    }


def _found(finder: FaceFinder, picture: np.ndarray) -> list[Face]:
    try:
        return finder.find(load_photo(np.ascontiguousarray(picture)))
    except FaceNotFoundError:
        return []
