"""Photos that may make a bad identity: small, blurred or turned faces, and different people.

Nothing here changes an identity. The limits are low on purpose: a photo that one would choose
without a thought passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.identity import photo_warning
from pulid_sdcpp.identity.face_choice import FaceChoice
from pulid_sdcpp.identity.photo_warning import PhotoWarning

from .align import ARCFACE_PX, arcface_crop
from .faces import Face
from .photo import Photo
from .pixels import grey_of, laplacian

__all__ = [
    "MAX_TURN_DEGREES",
    "MIN_FACE_PX",
    "MIN_SCORE",
    "MIN_SHARPNESS",
    "SAME_PERSON_COSINE",
    "agreement",
    "different_people",
    "face_warnings",
    "sharpness",
    "turn_degrees",
]

MIN_FACE_PX = ARCFACE_PX
"""Shorter side of a face's box: what ArcFace looks at. A smaller one is enlarged."""
MIN_SHARPNESS = photo_warning.MIN_SHARPNESS
"""Of `sharpness`. A portrait of scikit-image (astronaut) has 0.16, the drawn ones in the package
0.5 to 1.4; a Gaussian blur of 1.5 pixels in ArcFace's crop takes the first to 0.01."""
MAX_TURN_DEGREES = 40.0
MIN_SCORE = 0.6
"""Detector's score. Below 0.5 there is no face; those that are seen well have more than 0.7."""
SAME_PERSON_COSINE = photo_warning.SAME_PERSON_COSINE
"""Of two ArcFace embeddings. Source: insightface, recognition/arcface_onnx and the example that
comes with it: less than 0.2 is not the same person, 0.28 and more is."""

_NOSE_DEPTH = 0.4
"""How far the tip of the nose is in front of the eyes and the corners of the mouth, in distances of
the eyes: in the head of six points that OpenCV's examples of head pose use, 130 of about 315."""
_EDGE_PX = 8
"""Of ArcFace's crop, where the photo may end."""


def face_warnings(
    photo: Photo, face: Face, faces: Sequence[Face], choice: FaceChoice, number: int
) -> list[PhotoWarning]:
    """What may be wrong with the face that is used of a photo.

    Args:
        photo: The photo.
        face: The face.
        faces: All that are in the photo.
        choice: How it was chosen.
        number: The photo's, from 1.

    Raises:
        FaceNotFoundError: The face's landmarks lie on one point.
    """
    left, top, right, bottom = face.box
    side_px, turn = min(right - left, bottom - top), turn_degrees(face.landmarks)
    sharp = sharpness(arcface_crop(photo.pixels, face.landmarks))
    found = []
    if side_px < MIN_FACE_PX:
        found.append(PhotoWarning("small_face", (number,), side_px))
    if sharp < MIN_SHARPNESS:
        found.append(PhotoWarning("blurred_face", (number,), sharp))
    if turn > MAX_TURN_DEGREES:
        found.append(PhotoWarning("turned_face", (number,), turn))
    if face.score < MIN_SCORE:
        found.append(PhotoWarning("unsure_face", (number,), face.score))
    if len(faces) > 1 and choice == "largest":
        found.append(PhotoWarning("several_faces", (number,), len(faces)))
    return found


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a face, in shares of the variance of its brightness.

    Args:
        crop: (112, 112, 3) uint8 RGB, see `arcface_crop`: so it does not depend on the photo's
            size, nor, by the division, on its contrast.

    Source: the variance of the Laplacian as a measure of focus is Pech-Pacheco et al., "Diatom
    autofocusing in brightfield microscopy" (2000).
    """
    grey = grey_of(crop).astype(np.float64)
    inside = slice(_EDGE_PX, -_EDGE_PX)
    variance = float(grey[inside, inside].var())
    if variance == 0:
        return 0.0
    return float(laplacian(grey)[inside, inside].var()) / variance


def turn_degrees(landmarks: NDArray[np.float32]) -> float:
    """About how far a face is turned to a side, 0 to 90, however it is tilted.

    The tip of the nose is before the plane of eyes and mouth, so it moves sideways between them.

    Args:
        landmarks: (5, 2), see `align`.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = np.asarray(landmarks, np.float64)
    across = (right_eye - left_eye) + (right_mouth - left_mouth)
    length = float(np.hypot(*across))
    if length == 0:
        return 90.0
    across /= length
    middle = (left_eye + right_eye + left_mouth + right_mouth) / 4
    aside = abs(float((nose - middle) @ across))
    eyes = max(float((right_eye - left_eye) @ across), 0.0)
    return math.degrees(math.atan2(aside, _NOSE_DEPTH * eyes))


def different_people(embeddings: Sequence[NDArray[np.float32]]) -> list[PhotoWarning]:
    """Photos that look like somebody else than the others, one warning for each other person.

    Photos are of one person if a chain of pairs with at least SAME_PERSON_COSINE connects them.
    The person is who has most of the photos, of two with as many the first.

    Args:
        embeddings: ArcFace's, (512,) of each photo.
    """
    cosines = _cosines(embeddings)
    groups: list[list[int]] = []
    for index in range(len(embeddings)):
        near = [g for g in groups if any(cosines[index, i] >= SAME_PERSON_COSINE for i in g)]
        merged = sorted([index, *(i for group in near for i in group)])
        groups = sorted([*(group for group in groups if group not in near), merged])
    person = max(groups, key=len, default=[])
    warnings = []
    for group in groups:
        if group is not person:
            others = [i for i in range(len(embeddings)) if i not in group]
            best = float(cosines[np.ix_(group, others)].max())
            warnings.append(PhotoWarning("different_people", tuple(i + 1 for i in group), best))
    return warnings


def agreement(embeddings: Sequence[NDArray[np.float32]]) -> float:
    """The lowest cosine between two of the photos' faces.

    Args:
        embeddings: ArcFace's, (512,) of each photo; two at least.
    """
    return float(_cosines(embeddings).min())


def _cosines(embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    rows = np.asarray(embeddings, np.float64).reshape(len(embeddings), -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths == 0, 1, lengths)
    return rows @ rows.T
