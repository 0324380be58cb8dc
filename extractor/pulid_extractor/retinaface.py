"""The reference's second detector, facexlib's RetinaFace-R50, asked about one face only.

PuLID takes ArcFace's landmarks from insightface and those of the aligned crop from here. Left to
themselves the two detectors choose a face each, on a group photo not always the same one. Here
the first one's choice stands, and this one's view of that face is looked for.

Needs the extra [reference]. Source: facexlib `RetinaFace`, `FaceRestoreHelper`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pulid_sdcpp.errors import FaceNotFoundError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .checkpoint import fill
from .dependencies import load_retinaface_class
from .faces import Face
from .photo import Photo
from .weights import read_weights

__all__ = ["MIN_OVERLAP", "RetinaFaceFinder", "load_retinaface", "match_face", "overlap"]

MIN_SCORE = 0.97
"""Detections below are dropped (facexlib `get_face_landmarks_5`)."""
MIN_OVERLAP = 0.4
"""Intersection over union that two detectors' boxes of one face reach. On one face they overlap
by 0.6 and more; the boxes of two people cheek to cheek by less than 0.3."""
WHAT = "RetinaFace-R50 face detector"


class RetinaFaceFinder:
    """Finds faces with facexlib's network. Made by `load_retinaface`."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def find(self, photo: Photo) -> list[Face]:
        """Every face, the surest first; none is an empty list."""
        bgr = np.ascontiguousarray(photo.pixels[:, :, ::-1])
        with torch.inference_mode():
            rows = self._network.detect_faces(bgr, MIN_SCORE)
        return [
            Face(
                box=(float(row[0]), float(row[1]), float(row[2]), float(row[3])),
                score=float(row[4]),
                landmarks=np.asarray(row[5:15], np.float32).reshape(5, 2),
            )
            for row in rows
        ]

    def same_face(self, photo: Photo, chosen: Face, faces: Sequence[Face]) -> Face:
        """The face that insightface's is, as this detector sees it.

        Args:
            photo: The photo.
            chosen: The face that is meant.
            faces: All that insightface found, `chosen` among them.

        Raises:
            FaceNotFoundError: This detector does not see it.
        """
        candidates = self.find(photo)
        match = match_face(chosen, faces, candidates)
        if match is None:
            raise FaceNotFoundError(
                f"{photo.name}: the two detectors disagree: insightface found the face at "
                f"{_box(chosen, photo)}, facexlib's RetinaFace found "
                f'{_instead(chosen, candidates, photo)}; use the aligner "insightface", or another '
                "photo"
            )
        return match


def match_face(chosen: Face, faces: Sequence[Face], candidates: Sequence[Face]) -> Face | None:
    """The candidate that is the chosen face and nobody else.

    It is the one that overlaps the chosen face most, by MIN_OVERLAP at least, provided that its
    middle lies in the chosen face's box and that it overlaps none of the other faces more.

    Args:
        chosen: The face that is meant.
        faces: All that the detector of `chosen` found.
        candidates: What another detector found.
    """
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: overlap(chosen, candidate))
    shared = overlap(chosen, best)
    x, y = best.center
    left, top, right, bottom = chosen.box
    belongs_to_another = any(face is not chosen and overlap(face, best) > shared for face in faces)
    if shared < MIN_OVERLAP or belongs_to_another or not (left < x < right and top < y < bottom):
        return None
    return best


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    shared = max(width, 0.0) * max(height, 0.0)
    whole = a.area + b.area - shared
    return shared / whole if whole > 0 else 0.0


def load_retinaface(path: str | os.PathLike[str], *, device: torch.device) -> RetinaFaceFinder:
    """Load facexlib's detector from the given file; facexlib itself would download it.

    Args:
        path: `detection_Resnet50_Final.pth`.
        device: Where to compute, always in float32.

    Raises:
        ModelFileError: Not such a file.
        MissingDependencyError: The extra [reference] is not installed.
    """
    file = Path(path)
    network_class = load_retinaface_class()
    tensors = _without_module(read_weights(file))
    # Its constructor draws 27 million random numbers: not out of the caller's generator.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # torchvision deprecates the argument with which facexlib asks for no download.
        warnings.simplefilter("ignore")
        network = network_class(network_name="resnet50", half=False, device=device)
    fill(network, tensors, file, WHAT)
    network.to(device=device, dtype=torch.float32)
    return RetinaFaceFinder(network)


def _without_module(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The published names begin with `module.`: it was trained on several cards."""
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _instead(chosen: Face, candidates: Sequence[Face], photo: Photo) -> str:
    if not candidates:
        return "none"

    def nearness(face: Face) -> tuple[float, float]:
        return overlap(chosen, face), -math.dist(face.center, chosen.center)

    nearest = max(candidates, key=nearness)
    found = "one" if len(candidates) == 1 else f"{len(candidates)}, the nearest"
    return f"{found} at {_box(nearest, photo)} (overlap {overlap(chosen, nearest):.0%})"


def _box(face: Face, photo: Photo) -> str:
    return " ".join(str(round(edge / photo.scale)) for edge in face.box)
