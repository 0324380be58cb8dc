"""The photo of a person's card: checked, looked at for faces, and shown with a button on each."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ..errors import MissingDependencyError, ModelFileError
from ..server.bodies.pictures_in import PictureIn, photo_from
from . import texts

if TYPE_CHECKING:
    from ..extraction.face_looker import LookedAt

__all__ = ["PersonPhoto", "faces_html", "read_photo"]

_VIEW_PX = 720
_CROP_PX = 160
_CROP_MARGIN = 0.35


@dataclass(frozen=True)
class PersonPhoto:
    """A photo, as far as it is known.

    Attributes:
        picture: The photo.
        view: A small JPEG of it.
        looked_at: Its faces; None: nobody could look.
        face: The number of the face that is meant.
        mask: The painted place of the person; empty: none. It belongs to the card, and stays with a
            kept person, too.
        embedding: In place of a photo, the identity of an earlier picture; empty: none.
    """

    picture: PictureIn | None = None
    view: bytes = field(default=b"", repr=False)
    looked_at: LookedAt | None = field(default=None, hash=False)
    face: int = 0
    mask: bytes = field(default=b"", repr=False)
    embedding: bytes = field(default=b"", repr=False)

    @property
    def is_somebody(self) -> bool:
        """Whether a person is known by it."""
        return self.picture is not None or bool(self.embedding)

    @property
    def has_no_face(self) -> bool:
        """Whether somebody looked, and found none."""
        return self.picture is not None and self.looked_at is not None and not self.looked_at.faces


async def read_photo(service: Any, content: bytes, param: str = "photo") -> PersonPhoto:
    """Check a photo and look for faces in it.

    Raises:
        ApiError: bad_image, image_too_large.
    """
    picture = await asyncio.to_thread(photo_from, content, param=param, limits=service.limits)
    view = await asyncio.to_thread(_small, picture.png)
    looked_at = await _look(service, picture.png)
    faces = looked_at.faces if looked_at is not None else ()
    largest = next((face.number for face in faces if "largest" in face.words), 0)
    return PersonPhoto(picture, view, looked_at, largest)


async def _look(service: Any, content: bytes) -> LookedAt | None:
    """The faces; None without the networks for photos."""
    try:
        found: LookedAt = await service.looks.find(content)
    except (MissingDependencyError, ModelFileError):
        return None
    return found


def _small(png: bytes) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_VIEW_PX, _VIEW_PX))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


def faces_html(photo: PersonPhoto) -> Markup:
    """The photo with a button on each face, of which one is chosen."""
    if photo.embedding:
        return Markup('<p class="field-note">{}</p>').format(texts.EARLIER_PERSON)
    if photo.picture is None:
        return Markup("")
    width, height = photo.picture.width, photo.picture.height
    url = f"data:image/jpeg;base64,{base64.b64encode(photo.view).decode('ascii')}"
    faces = photo.looked_at.faces if photo.looked_at is not None else ()
    buttons = Markup("").join(
        _button(photo, number, len(faces), width, height) for number in range(len(faces))
    )
    if photo.has_no_face:
        note = Markup('<p class="field-error" role="alert">{}</p>').format(texts.NO_FACE)
    elif photo.looked_at is None:
        note = Markup('<p class="field-note">{}</p>').format(texts.FACES_UNKNOWN)
    else:
        title = texts.ONE_FACE if len(faces) == 1 else texts.WHICH_FACE
        note = Markup('<p class="field-note">{}</p>{}').format(title, _crop(photo))
    return Markup(
        '<div class="faces"><div class="faces-photo" role="radiogroup" aria-label="{}">'
        '<img src="{}" alt="{}" width="{}" height="{}">{}</div>'
        '<div class="faces-note">{}</div></div>'
    ).format(texts.WHICH_FACE, url, texts.PHOTO, width, height, buttons, note)


def _button(photo: PersonPhoto, number: int, count: int, width: int, height: int) -> Markup:
    assert photo.looked_at is not None
    face = photo.looked_at.faces[number]
    x, y, w, h = face.place
    words = [texts.FACE_WORDS.get(word, word) for word in face.words] if count > 1 else []
    label = ", ".join([texts.FACE.format(number=number + 1, count=count), *words])
    return Markup(
        '<button type="button" role="radio" aria-checked="{}" aria-label="{}" data-do="face" '
        'data-id="{}" data-card style="left:{:.2f}%;top:{:.2f}%;width:{:.2f}%;height:{:.2f}%">'
        "<span>{}</span></button>"
    ).format(
        "true" if face.number == photo.face else "false",
        label,
        face.number,
        100 * max(x, 0) / width,
        100 * max(y, 0) / height,
        100 * min(w, width - max(x, 0)) / width,
        100 * min(h, height - max(y, 0)) / height,
        number + 1,
    )


def _crop(photo: PersonPhoto) -> Markup:
    """The face that is chosen, as it is cut out."""
    from PIL import Image

    assert photo.looked_at is not None
    assert photo.picture is not None
    x, y, w, h = photo.looked_at.faces[photo.face].place
    side = max(w, h) * (1 + 2 * _CROP_MARGIN)
    left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
    with Image.open(io.BytesIO(photo.view)) as view:
        scale = view.width / photo.picture.width
        box = tuple(round(edge * scale) for edge in (left, top, left + side, top + side))
        crop = view.convert("RGB").crop(box).resize((_CROP_PX, _CROP_PX))  # type: ignore[arg-type]
    out = io.BytesIO()
    crop.save(out, "JPEG", quality=85)
    url = f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
    label = texts.FACE.format(number=photo.face + 1, count=len(photo.looked_at.faces))
    return Markup('<img class="faces-crop" src="{}" alt="{}" width="96" height="96">').format(
        url, label
    )
