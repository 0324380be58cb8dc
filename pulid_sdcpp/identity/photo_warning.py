"""What may make a bad identity of a photo, as data and as a line for people."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ..terminal_text import escaped_line

__all__ = [
    "MIN_SHARPNESS",
    "PHOTO_WARNINGS",
    "SAME_PERSON_COSINE",
    "PhotoWarning",
    "WarningCode",
    "log_photo_warnings",
    "photo_warnings_from",
]

WarningCode = Literal[
    "small_face",
    "blurred_face",
    "turned_face",
    "unsure_face",
    "several_faces",
    "different_people",
]

PHOTO_WARNINGS = "photo_warnings"
"""The metadata of an identity that has them."""

MIN_SHARPNESS = 0.01
SAME_PERSON_COSINE = 0.2
"""Limits of `pulid_extractor.photo_checks`, which has their sources."""

_CODES = get_args(WarningCode)
_MOST_PHOTOS = 10_000


@dataclass(frozen=True)
class PhotoWarning:
    """A reason why a photo may give a poor likeness.

    Attributes:
        code: "small_face", "blurred_face", "turned_face", "unsure_face" (the detector is),
            "several_faces" (the largest was taken), or "different_people".
        photos: Numbers of the photos, from 1, as they were given; several of "different_people".
        value: What was measured: the face's shorter side in pixels, its sharpness, degrees, the
            detector's score, the number of faces, or the highest cosine to the other photos. The
            limits are in `pulid_extractor.photo_checks`.
    """

    code: WarningCode
    photos: tuple[int, ...]
    value: float

    def message(self, names: Sequence[str] = ()) -> str:
        """What is wrong, and what to do.

        Args:
            names: Of all photos; without, they are called "photo 1", ...
        """
        return f"{self._named(names)}: {self._what()}"

    def _named(self, names: Sequence[str]) -> str:
        numbers = self.photos
        which = f"photo{'s' if len(numbers) > 1 else ''} {_listed(map(str, numbers))}"
        if len(names) < max(numbers):
            return which
        files = _listed(escaped_line(names[number - 1]) for number in numbers)
        return files if len(names) == 1 else f"{which} ({files})"

    def _what(self) -> str:
        value, several = self.value, len(self.photos) > 1
        return {
            "small_face": f"the face is {value:.0f} pixels wide, and the networks look at 112 and "
            "336; use a larger photo, or crop one of more than 1024 pixels around the face",
            "blurred_face": f"the face is blurred (sharpness {value:.3f}, less than "
            f"{MIN_SHARPNESS:g}); use a sharper photo",
            "turned_face": f"the face is turned aside by about {value:.0f} degrees; use a photo "
            "that looks at the camera",
            "unsure_face": f"the detector is not sure of the face (score {value:.2f}); use a "
            "photo of an upright, uncovered face in good light",
            "several_faces": f"there are {value:.0f} faces, and the largest is used; --face "
            "chooses another",
            "different_people": f"{'look' if several else 'looks'} like somebody else than the "
            f"other photos (cosine {value:.2f}, less than {SAME_PERSON_COSINE:g}); leave "
            f"{'them' if several else 'it'} out, or choose the right face",
        }[self.code]

    def __str__(self) -> str:
        """As it stands in an identity's metadata."""
        return f"{self.code} {','.join(map(str, self.photos))} {self.value:.4g}"


def photo_warnings_from(texts: object) -> tuple[PhotoWarning, ...]:
    """The warnings in an identity's metadata; what is none is passed over."""
    several = texts if isinstance(texts, tuple) else ()
    return tuple(found for text in several if (found := _read(text)) is not None)


def log_photo_warnings(
    logger: logging.Logger, warnings: Iterable[PhotoWarning], names: Sequence[str]
) -> None:
    """Log each, with what to do; which of several faces is used is told elsewhere."""
    for warning in warnings:
        level = logging.INFO if warning.code == "several_faces" else logging.WARNING
        logger.log(level, "%s", warning.message(names))


def _read(text: object) -> PhotoWarning | None:
    parts = text.split(" ") if isinstance(text, str) else []
    if len(parts) != 3 or parts[0] not in _CODES:
        return None
    try:
        photos = tuple(int(number) for number in parts[1].split(","))
        value = float(parts[2])
    except ValueError:
        return None
    if not all(1 <= number <= _MOST_PHOTOS for number in photos):
        return None
    return PhotoWarning(cast(WarningCode, parts[0]), photos, value)


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
