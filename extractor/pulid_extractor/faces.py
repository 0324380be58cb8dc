"""Faces in a photo: where they are, and their ArcFace embeddings."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError
from pulid_sdcpp.identity.face_choice import FaceBox

from .align import arcface_crop
from .photo import Photo
from .scrfd import ArcFace, Scrfd

__all__ = ["Face", "FaceDetector", "FaceFinder"]

DET_SIZES_PX = (640, 512, 384, 256, 160)
"""Sizes the photo is fitted into for detection, in the order tried. 640 is the reference's; a
face that fills the picture is found at a smaller one."""
PADDED_DET_SIZES_PX = (640, 384)
"""Sizes tried last, with a margin around the photo: for a face cut off by its edge."""
PADDING = 0.5
"""Width of that margin, in long sides of the photo."""
MIN_SCORE = 0.5
"""Detections below are dropped (insightface's default)."""

_logger = logging.getLogger("pulid_extractor")


@dataclass(frozen=True)
class Face:
    """A detected face.

    Args:
        box: Left, top, right, bottom in pixels of the photo; may reach beyond its edge.
        score: The detector's score, 0..1.
        landmarks: (5, 2) float32, see `align`.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] = field(repr=False)

    @property
    def area(self) -> float:
        return max(self.box[2] - self.box[0], 0.0) * max(self.box[3] - self.box[1], 0.0)

    @property
    def center(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def box_in(self, scale: float) -> FaceBox:
        """Left, top, width, height in pixels of a photo that was reduced by `scale`."""
        left, top, right, bottom = (edge / scale for edge in self.box)
        return left, top, right - left, bottom - top


class FaceDetector:
    """SCRFD detection, through ONNX Runtime.

    Args:
        detector: `scrfd_10g_bnkps.onnx`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: The file is not such a model.
        MissingDependencyError: ONNX Runtime is missing.
    """

    def __init__(
        self,
        detector: str | os.PathLike[str],
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self._detector = Scrfd(Path(detector), providers)

    def find(self, photo: Photo) -> list[Face]:
        """Every face, the surest first.

        Raises:
            FaceNotFoundError: There is none, with what was tried.
        """
        pixels = photo.pixels
        for size_px in DET_SIZES_PX:
            if faces := self._detect(pixels, size_px, margin_px=0):
                return faces
        margin_px = round(max(pixels.shape[:2]) * PADDING)
        padded = np.pad(pixels, ((margin_px, margin_px), (margin_px, margin_px), (0, 0)))
        for size_px in PADDED_DET_SIZES_PX:
            if faces := self._detect(padded, size_px, margin_px=margin_px):
                return faces
        raise FaceNotFoundError(
            f"{photo.name}: no face found (tried detection at "
            f"{', '.join(map(str, DET_SIZES_PX))} pixels, and with a margin at "
            f"{' and '.join(map(str, PADDED_DET_SIZES_PX))}); use a photo where the face is "
            "upright, sharp and not covered"
        )

    def _detect(self, pixels: NDArray[np.uint8], size_px: int, *, margin_px: int) -> list[Face]:
        found = self._detector.detect(pixels, size_px, MIN_SCORE)
        faces = [
            Face(
                box=tuple(float(edge) - margin_px for edge in box),  # type: ignore[arg-type]
                score=float(score),
                landmarks=points - np.float32(margin_px),
            )
            for box, score, points in zip(found.boxes, found.scores, found.landmarks, strict=True)
        ]
        _logger.debug("detection at %d px, margin %d px: %d", size_px, margin_px, len(faces))
        return faces


class FaceFinder(FaceDetector):
    """SCRFD detection and ArcFace recognition.

    Args:
        detector: `scrfd_10g_bnkps.onnx`.
        recogniser: `glintr100.onnx`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: A file is not such a model.
        MissingDependencyError: ONNX Runtime is missing.
    """

    def __init__(
        self,
        detector: str | os.PathLike[str],
        recogniser: str | os.PathLike[str],
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        super().__init__(detector, providers)
        self._recogniser_path = Path(recogniser)
        self._recogniser = ArcFace(self._recogniser_path, providers)

    def embed(self, photo: Photo, face: Face) -> NDArray[np.float32]:
        """The ArcFace embedding of a face, (512,) float32, not normalised: its length counts.

        Raises:
            FaceNotFoundError: The face's landmarks lie on one point.
            ModelFileError: The recogniser fails, or gives numbers that are not finite.
        """
        embedding = self._recogniser.embedding(arcface_crop(photo.pixels, face.landmarks))
        if not np.isfinite(embedding).all():
            raise ModelFileError(
                f"{self._recogniser_path}: the embedding has numbers that are not finite; the "
                "weights are damaged: download them again"
            )
        return embedding
