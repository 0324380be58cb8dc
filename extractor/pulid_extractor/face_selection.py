"""Which of a photo's faces is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pulid_sdcpp.errors import FaceNotThereError
from pulid_sdcpp.identity.face_choice import FaceBox, FaceChoice, check_face_choice

from .faces import Face

__all__ = ["from_left", "select_face"]


def from_left(faces: Sequence[Face]) -> list[Face]:
    """The faces in the order in which a choice by number counts them."""
    return sorted(faces, key=lambda face: face.center)


def select_face(
    faces: Sequence[Face],
    choice: FaceChoice,
    *,
    width_px: int,
    height_px: int,
    scale: float = 1.0,
) -> Face:
    """The face that is meant.

    Args:
        faces: At least one.
        choice: "largest", "left", "right", "center" (nearest to the middle of the photo), a
            number, counting the faces from left to right from 0, or a box: the face with the
            greatest intersection over union of those whose middle is in the box, or in which the
            box's middle is.
        width_px: Width of the photo that the faces' boxes are in pixels of.
        height_px: Its height.
        scale: Pixels of that photo per pixel of the one a box is in, see `Photo.scale`.

    Raises:
        ValueError: No such choice.
        FaceNotThereError: The number is that of no face, or there is none in the box.
    """
    choice = check_face_choice(choice)
    by_position = from_left(faces)
    if isinstance(choice, int):
        if not 0 <= choice < len(faces):
            raise FaceNotThereError(
                f"face {choice} was asked for, but the photo has {_numbers(len(faces))}"
            )
        return by_position[choice]
    if isinstance(choice, tuple):
        return _face_in_box(by_position, choice, scale)
    if choice == "largest":
        return max(by_position, key=lambda face: face.area)
    if choice == "left":
        return by_position[0]
    if choice == "right":
        return by_position[-1]
    middle = np.array([width_px / 2, height_px / 2])
    return min(by_position, key=lambda face: float(np.hypot(*(face.center - middle))))


def _numbers(count: int) -> str:
    """Which numbers the faces have."""
    return (
        "1 face, number 0" if count == 1 else f"{count} faces, numbers 0 to {count - 1} from left"
    )


def _face_in_box(faces: Sequence[Face], box: FaceBox, scale: float) -> Face:
    # A box that only touches a face means another one, which the detector did not find.
    meant = [
        face
        for face in faces
        if _is_middle_in(face.box_in(scale), box) or _is_middle_in(box, face.box_in(scale))
    ]
    if not meant:
        where = "; ".join(",".join(f"{edge:.0f}" for edge in face.box_in(scale)) for face in faces)
        asked = ",".join(f"{edge:g}" for edge in box)
        raise FaceNotThereError(
            f"no face in the box {asked}; the faces are at {where} (x, y, width, height in "
            "pixels of the photo, upright)"
        )
    return max(meant, key=lambda face: _overlap(face.box_in(scale), box))


def _is_middle_in(inner: FaceBox, outer: FaceBox) -> bool:
    return all(
        outer[axis] <= inner[axis] + inner[axis + 2] / 2 <= outer[axis] + outer[axis + 2]
        for axis in (0, 1)
    )


def _overlap(a: FaceBox, b: FaceBox) -> float:
    """Intersection over union."""
    sides = (
        min(a[axis] + a[axis + 2], b[axis] + b[axis + 2]) - max(a[axis], b[axis]) for axis in (0, 1)
    )
    width, height = (max(side, 0.0) for side in sides)
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)
