"""The faces of many pictures: where they are, and what recognisers have for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FaceNotFoundError, ModelFileError
from ..identity.face_choice import FaceBox, FaceChoice
from ..system.file_hash import records_folder, remembered_sha256
from ..terminal_text import reason_of
from .faces import face_words

if TYPE_CHECKING:
    from pulid_extractor import Face, Photo, PhotoSource

__all__ = ["FaceLooker", "LookedAt", "SeenFace", "recogniser_name"]

MAX_EMBEDDED = 16
"""Faces of one picture that recognisers look at, the largest: a crowd has hundreds."""


@dataclass(frozen=True)
class SeenFace:
    """A face of a picture.

    Attributes:
        number: Counted from the left, from 0, as a choice of face does.
        place: x, y, width, height in pixels of the picture; may reach beyond its edge.
        score: How sure the detector is, 0..1.
        words: The choices in words that mean this face, as "largest".
        embeddings: (n,) float32 by `recogniser_name`, not normalised; empty if none was asked for.
    """

    number: int
    place: FaceBox
    score: float
    words: tuple[str, ...]
    embeddings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class LookedAt:
    """A picture and its faces.

    Attributes:
        width, height: In pixels, upright.
        faces: From left to right; empty if there are none.
        chosen: The number of the face that was chosen; None: none was.
    """

    width: int
    height: int
    faces: tuple[SeenFace, ...]
    chosen: int | None = None


def recogniser_name(path: str | os.PathLike[str]) -> str:
    """The name by which the numbers of a recogniser are known, NAME:HASH.

    Raises:
        ModelFileError: The file cannot be read.
    """
    try:
        return f"{Path(path).stem}:{remembered_sha256(path, records_folder())[:10]}"
    except OSError as error:
        reason = reason_of(error)
        raise ModelFileError(f"{os.fspath(path)}: expected a recogniser: {reason}") from error


class FaceLooker:
    """Looks at pictures. Each network is loaded once, when it is needed, and computes on the CPU.

    Args:
        detector: The face detector's file.
        recognisers: Files of recognisers.

    Raises:
        ModelFileError: A recogniser cannot be read.
    """

    def __init__(
        self,
        detector: str | os.PathLike[str],
        recognisers: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self._detector = detector
        self._recognisers = {recogniser_name(path): path for path in recognisers}
        self._finders: dict[str, Any] = {}

    def look(self, picture: PhotoSource, choice: FaceChoice | None = None) -> LookedAt:
        """Find the faces, and ask the recognisers about the one that is chosen, or about all.

        Args:
            picture: A file, its bytes, a Pillow image or an array.
            choice: Of a face; None: of none, and a picture without a face is none to complain of.

        Raises:
            ImageFileError: The picture cannot be read.
            FaceNotFoundError: A face is chosen, and there is none.
            ModelFileError: A file is no such network.
            MissingDependencyError: The extra [extract] is not installed.
        """
        from pulid_extractor.face_selection import from_left, select_face
        from pulid_extractor.photo import load_photo

        photo = load_photo(picture)
        height, width = photo.pixels.shape[:2]
        try:
            found = from_left(self._finder("").find(photo))
        except FaceNotFoundError:
            if choice is not None:
                raise
            found = []
        words = face_words(found, photo)
        chosen = None
        if choice is not None:
            chosen = select_face(found, choice, width_px=width, height_px=height, scale=photo.scale)
        asked = sorted(found, key=lambda face: -face.area)[:MAX_EMBEDDED]
        if chosen is not None:
            asked = [chosen]
        faces = tuple(
            SeenFace(
                number,
                face.box_in(photo.scale),
                face.score,
                words[number],
                self._embeddings(photo, face) if any(face is one for one in asked) else {},
            )
            for number, face in enumerate(found)
        )
        number = next((i for i, face in enumerate(found) if face is chosen), None)
        width, height = (round(side / photo.scale) for side in (width, height))
        return LookedAt(width, height, faces, number)

    def _embeddings(self, photo: Photo, face: Face) -> dict[str, Any]:
        found = {}
        for name in self._recognisers:
            try:
                found[name] = self._finder(name).embed(photo, face)
            except FaceNotFoundError:  # its landmarks lie on one point
                return {}
        return found

    def _finder(self, name: str) -> Any:
        """The detector, "", or a recogniser."""
        from pulid_extractor.faces import FaceDetector, FaceFinder

        if name not in self._finders:
            self._finders[name] = (
                FaceFinder(self._detector, self._recognisers[name])
                if name
                else FaceDetector(self._detector)
            )
        return self._finders[name]
