"""SCRFD face detection and ArcFace recognition: what goes into the models and comes out of them.

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection" (2021), and
insightface, `model_zoo/scrfd.py` and `model_zoo/arcface_onnx.py`, for what the published files
take and give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import ModelFileError

from .align import ARCFACE_PX
from .onnx_session import first_nodes, open_model, running
from .pixels import resized_linear

__all__ = ["ArcFace", "Detection", "Scrfd"]

Array = NDArray[np.float32]

DETECTOR, RECOGNISER = "SCRFD face detector", "ArcFace recogniser"
_STRIDES = {9: (8, 16, 32), 15: (8, 16, 32, 64, 128)}
"""Pixels between the places that are asked about, by how many outputs there are: scores, boxes and
landmarks for each."""
_ANCHORS = {9: 2, 15: 1}
"""Answers at each place."""
_MEAN, _SCALE = 127.5, 128.0
MAX_OVERLAP = 0.4
"""Of two boxes, above which the less sure one is the same face (insightface's `nms_thresh`)."""


@dataclass(frozen=True)
class Detection:
    """Faces of a picture, the surest first, in its pixels.

    Attributes:
        boxes: (n, 4): left, top, right, bottom.
        scores: (n,), 0..1.
        landmarks: (n, 5, 2), see `align`.
    """

    boxes: Array
    scores: Array
    landmarks: Array


class Scrfd:
    """A SCRFD detector with landmarks.

    Args:
        path: `scrfd_10g_bnkps.onnx`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: The file is not such a model.
        MissingDependencyError: ONNX Runtime is missing.
    """

    def __init__(self, path: Path, providers: Sequence[str]) -> None:
        self._path = path
        self._session = open_model(path, DETECTOR, providers)
        check_task(self._session, path, "detection", DETECTOR)
        count = len(self._session.get_outputs())
        if count not in _STRIDES:
            raise ModelFileError(
                f"{path}: expected a SCRFD face detector with landmarks (nine outputs), found "
                f"one without ({count} outputs)"
            )
        self._strides, self._anchors = _STRIDES[count], _ANCHORS[count]
        self._input = self._session.get_inputs()[0].name

    def detect(self, pixels: NDArray[np.uint8], size_px: int, least_score: float) -> Detection:
        """Find faces.

        Args:
            pixels: (H, W, 3) RGB.
            size_px: The picture is fitted into a square of this side.
            least_score: Below it there is no face.

        Raises:
            ModelFileError: ONNX Runtime cannot run the model, or it gives something else.
        """
        height, width = pixels.shape[:2]
        new_height, new_width = _fitted(height, width, size_px)
        square = np.zeros((size_px, size_px, 3), np.uint8)
        square[:new_height, :new_width] = resized_linear(pixels, (new_width, new_height))
        values = (square.astype(np.float32) - _MEAN) / _SCALE
        with running(self._path):
            found = self._session.run(None, {self._input: values.transpose(2, 0, 1)[None]})
            outputs = [np.asarray(part, np.float32).reshape(-1, part.shape[-1]) for part in found]
            boxes, scores, landmarks = self._decoded(outputs, size_px, least_score)
        order = np.argsort(-scores, kind="stable")
        kept = order[_distinct(boxes[order])]
        scale = new_height / height
        return Detection(boxes[kept] / scale, scores[kept], landmarks[kept] / scale)

    def _decoded(
        self, outputs: Sequence[Array], size_px: int, least_score: float
    ) -> tuple[Array, Array, Array]:
        """Distances from places, in strides, to boxes, scores and landmarks in pixels."""
        boxes, scores, landmarks = [], [], []
        n = len(self._strides)
        for index, stride in enumerate(self._strides):
            places = np.mgrid[: size_px // stride, : size_px // stride][::-1].reshape(2, -1).T
            places = np.repeat(places * stride, self._anchors, axis=0).astype(np.float32)
            score = outputs[index][:, 0]
            sure = np.nonzero(score >= least_score)[0]
            place = places[sure]
            distance = outputs[n + index][sure] * stride
            boxes.append(np.hstack([place - distance[:, :2], place + distance[:, 2:]]))
            scores.append(score[sure])
            offset = outputs[2 * n + index][sure] * stride
            landmarks.append(place[:, None] + offset.reshape(-1, 5, 2))
        return np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks)


class ArcFace:
    """An ArcFace recogniser.

    Args:
        path: `glintr100.onnx`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: The file is not such a model.
        MissingDependencyError: ONNX Runtime is missing.
    """

    def __init__(self, path: Path, providers: Sequence[str]) -> None:
        self._path = path
        self._session = open_model(path, RECOGNISER, providers)
        check_task(self._session, path, "recognition", RECOGNISER)
        self._input = self._session.get_inputs()[0].name
        size = self._session.get_inputs()[0].shape[3:1:-1]
        if size != [ARCFACE_PX, ARCFACE_PX]:
            raise ModelFileError(
                f"{path}: expected an ArcFace recogniser of {ARCFACE_PX} x {ARCFACE_PX} pixels, "
                f"found one of {' x '.join(map(str, size))}"
            )
        # Models that came from MXNet begin with a subtraction and a multiplication of their own.
        first = first_nodes(path, 8)
        own = all(
            any(name.startswith(begins) for name in first)
            for begins in (("Sub", "_minus"), ("Mul", "_mul"))
        )
        self._mean, self._scale = (0.0, 1.0) if own else (_MEAN, _MEAN)

    def embedding(self, crop: NDArray[np.uint8]) -> Array:
        """The embedding of a face, (512,), not normalised.

        Args:
            crop: (112, 112, 3) RGB, see `align.arcface_crop`.

        Raises:
            ModelFileError: ONNX Runtime cannot run the model.
        """
        values = (crop.astype(np.float32) - self._mean) / self._scale
        with running(self._path):
            (found,) = self._session.run(None, {self._input: values.transpose(2, 0, 1)[None]})
        return np.asarray(found, np.float32).reshape(-1)


def check_task(session: Any, path: Path, task: str, what: str) -> None:
    """Refuse a model for something else, told by its inputs and outputs as insightface does.

    Raises:
        ModelFileError: It is.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    sides = shape[2:] if len(shape) == 4 else []
    is_square = len(sides) == 2 and sides[0] == sides[1] and isinstance(sides[0], int)
    if len(shape) == 4 and len(outputs) >= 5:
        found = "detection"
    elif len(outputs) == 1 and is_square and sides[0] >= ARCFACE_PX and sides[0] % 16 == 0:
        found = "recognition"
    else:
        found = ""
    if found != task:
        other = f"a model for {found}" if found else "an ONNX model of another kind"
        raise ModelFileError(f"{path}: expected the {what}, found {other}")


def _fitted(height: int, width: int, size_px: int) -> tuple[int, int]:
    """Height and width at which a picture fills a square in one direction, rounded down."""
    ratio = height / width
    if ratio > 1:
        return size_px, max(1, int(size_px / ratio))
    return max(1, int(size_px * ratio)), size_px


def _distinct(boxes: Array) -> list[int]:
    """Which boxes are no other face's that comes before: (n, 4), the surest first."""
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    areas = (opposite - corner + 1).prod(axis=1)
    left = np.arange(len(boxes))
    kept = []
    while len(left):
        first, left = int(left[0]), left[1:]
        kept.append(first)
        start = np.maximum(corner[first], corner[left])
        end = np.minimum(opposite[first], opposite[left])
        shared = np.maximum(end - start + 1, 0).prod(axis=1)
        left = left[shared / (areas[first] + areas[left] - shared) <= MAX_OVERLAP]
    return kept
