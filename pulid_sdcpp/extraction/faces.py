"""Which faces are on a photo, for who is to choose one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..identity.face_choice import FACE_WORDS, FaceBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pulid_extractor import Face, Photo, PhotoSource

__all__ = ["ListedFace", "PhotoFaces", "face_words", "list_faces"]


@dataclass(frozen=True)
class ListedFace:
    """A face of a photo.

    Attributes:
        box: Left, top, right, bottom in pixels of `PhotoFaces.pixels`; may reach beyond the edge.
        place: x, y, width, height in pixels of the photo itself, as a choice of face.
        score: How sure the detector is, 0..1.
        words: The choices in words that mean this face, as "largest".
    """

    box: tuple[float, float, float, float]
    place: FaceBox
    score: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class PhotoFaces:
    """A photo and its faces.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright; reduced, if the photo is large.
        faces: From left to right, as a choice by number counts them from 0.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    faces: tuple[ListedFace, ...]


def list_faces(photo: PhotoSource, detector: str | os.PathLike[str]) -> PhotoFaces:
    """Find the faces on a photo.

    Args:
        photo: A file, a Pillow image or an array.
        detector: The face detector's file.

    Raises:
        ImageFileError: The photo cannot be read.
        FaceNotFoundError: The photo has no face.
        ModelFileError: The detector is none.
        MissingDependencyError: The extra [extract] is not installed.
    """
    from pulid_extractor.face_selection import from_left
    from pulid_extractor.faces import FaceDetector
    from pulid_extractor.photo import load_photo

    looked_at = load_photo(photo)
    found = from_left(FaceDetector(detector).find(looked_at))
    words = face_words(found, looked_at)
    faces = (
        ListedFace(face.box, face.box_in(looked_at.scale), face.score, meant)
        for face, meant in zip(found, words, strict=True)
    )
    return PhotoFaces(looked_at.pixels, tuple(faces))


def face_words(found: Sequence[Face], photo: Photo) -> list[tuple[str, ...]]:
    """The choices in words that mean each of a photo's faces."""
    from pulid_extractor.face_selection import select_face

    if not found:
        return []
    height, width = photo.pixels.shape[:2]
    meant = {
        word: select_face(found, word, width_px=width, height_px=height) for word in FACE_WORDS
    }
    return [tuple(word for word in FACE_WORDS if meant[word] is face) for face in found]
