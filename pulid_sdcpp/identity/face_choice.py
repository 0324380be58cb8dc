"""Which face of a photo is meant: a word, a number, or a box around it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias, cast

from ..terminal_text import listed, shown

__all__ = [
    "FACE_WORDS",
    "FaceBox",
    "FaceChoice",
    "FaceWord",
    "check_face_choice",
    "parse_face_choice",
]

FaceBox: TypeAlias = tuple[float, float, float, float]
"""x, y (of the upper left corner), width, height in pixels of the photo as given, upright."""
FaceWord: TypeAlias = Literal["largest", "left", "right", "center"]
FaceChoice: TypeAlias = int | FaceWord | FaceBox
"""A number (counting from 0 at the left), a word or a box."""

FACE_WORDS: tuple[FaceWord, ...] = ("largest", "left", "right", "center")

_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*", re.ASCII)


def check_face_choice(choice: object) -> FaceChoice:
    """The choice in one form: a word, an int, or a tuple of four floats.

    Args:
        choice: "largest", "left", "right", "center" (nearest to the middle of the photo), a number
            counting the faces from left to right from 0, or a box of four numbers, see FaceBox.

    Raises:
        ValueError: None of these, or a box without an area.
    """
    if isinstance(choice, str) and choice in FACE_WORDS:
        return choice
    if isinstance(choice, int) and not isinstance(choice, bool):
        return choice
    if isinstance(choice, Sequence) and not isinstance(choice, (str, bytes)) and len(choice) == 4:
        numbers = [edge for edge in choice if isinstance(edge, (int, float))]
        numbers = [float(edge) for edge in numbers if not isinstance(edge, bool)]
        if len(numbers) == 4 and all(map(math.isfinite, numbers)) and min(numbers[2:]) > 0:
            return cast(FaceBox, tuple(numbers))
        raise ValueError(
            f"face {listed(choice)}: expected a box as x, y, width, height in pixels of the photo, "
            "width and height more than 0"
        )
    raise ValueError(
        f"face {shown(choice)}: expected one of {', '.join(FACE_WORDS)}, a number, or a box x,y,w,h"
    )


def parse_face_choice(text: str) -> FaceChoice:
    """The choice as a user writes it: `largest`, `2` or `120,80,64,64`.

    Raises:
        ValueError: See `check_face_choice`.
    """
    if text.isascii() and text.isdecimal():
        return int(text)
    parts = text.split(",")
    if len(parts) == 4 and all(map(_NUMBER.fullmatch, parts)):
        return check_face_choice(tuple(map(float, parts)))
    return check_face_choice(text)
