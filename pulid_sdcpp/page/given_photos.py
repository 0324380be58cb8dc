"""The photos of a person who is to be kept: the faces in them, and what the server is asked for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pictures.face_thumbnail import face_thumbnail
from ..server.bodies.pictures_in import photo_from
from ..server.errors import ApiError
from ..server.limits import Limits
from . import screen_texts as texts

if TYPE_CHECKING:
    from ..extraction.face_looker import LookedAt

__all__ = ["GivenPhoto", "cut_out", "enrolment_values", "given_photo", "read_given"]

_MARGIN = 0.6
"""Around a face that is cut out, in its longer sides: enough for what extraction looks at."""


@dataclass(frozen=True)
class GivenPhoto:
    """A photo that was given, and the faces in it.

    Attributes:
        path: Its file.
        places: Of each face from the left: x, y, width, height in pixels of the upright photo.
        words: Of each face, the words that mean it, as "largest".
        thumbnails: Of each face, a small JPEG.
    """

    path: str
    places: tuple[tuple[float, ...], ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    thumbnails: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def largest(self) -> int:
        """The number of the face that is taken if no other is chosen."""
        return next((number for number, words in enumerate(self.words) if "largest" in words), 0)

    def chosen(self, text: str) -> int:
        """The number of the face that a field says; the largest if it says none of them."""
        is_one = text.isascii() and text.isdigit() and int(text[:4]) < len(self.places)
        return int(text) if is_one else self.largest


def read_given(path: str, limits: Limits) -> bytes:
    """A photo's file as an upright PNG of pixels only.

    Raises:
        ApiError: bad_image, image_too_large; invalid_value: it is gone.
    """
    try:
        content = Path(path).read_bytes()
    except OSError:
        raise ApiError("invalid_value", texts.PHOTO_GONE, "photos") from None
    return photo_from(content, param="photos", limits=limits).png


def given_photo(path: str, png: bytes, looked_at: LookedAt) -> GivenPhoto:
    """A photo with what was seen on it."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as photo:
        thumbnails = tuple(face_thumbnail(photo, _edges(one.place)) for one in looked_at.faces)
    return GivenPhoto(
        path,
        tuple(tuple(one.place) for one in looked_at.faces),
        tuple(one.words for one in looked_at.faces),
        thumbnails,
    )


def cut_out(png: bytes, place: Sequence[float]) -> bytes:
    """A photo's part around one face, as PNG."""
    from PIL import Image

    left, top, right, bottom = _edges(place)
    margin = _MARGIN * max(right - left, bottom - top)
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as photo:
        width, height = photo.size
        box = (
            max(round(left - margin), 0),
            max(round(top - margin), 0),
            min(round(right + margin), width),
            min(round(bottom + margin), height),
        )
        photo.crop(box).save(out, "PNG", compress_level=1)
    return out.getvalue()


def enrolment_values(
    photos: Sequence[GivenPhoto], pngs: Sequence[bytes], faces: Sequence[int], fusion: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The fields of `POST /pulid/v1/identities`, and the files that they name.

    All photos of a person have the same choice of face; where the chosen ones are not all the
    largest, they are cut out.

    Args:
        photos: As they were given.
        pngs: Each of them as `read_given` gives it.
        faces: The number of the face in each.
        fusion: How several become one.
    """
    face: Any = "largest"
    contents = list(pngs)
    if len(photos) == 1:
        face = faces[0]
    elif any(number != photo.largest for number, photo in zip(faces, photos, strict=True)):
        contents = [
            cut_out(png, photo.places[number]) if len(photo.places) > 1 else png
            for png, photo, number in zip(pngs, photos, faces, strict=True)
        ]
    parts = {f"photo-{number}": content for number, content in enumerate(contents, 1)}
    values: dict[str, Any] = {"photos": [f"file:{name}" for name in parts], "face": face}
    if len(photos) > 1:
        values["fusion"] = fusion
    return values, parts


def _edges(place: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = place
    return x, y, x + width, y + height
