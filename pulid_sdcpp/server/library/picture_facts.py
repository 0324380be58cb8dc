"""What a finished picture's own text says of it, read without decoding the picture."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...errors import ImageFileError
from ...pictures.people_text import people_from
from ...pictures.png_text import parse_text
from ...system.picture_decoding import decoding
from ...system.regular_file import open_regular

__all__ = ["PictureFacts", "PictureFactsCache", "picture_facts"]

_TEXT_CHUNK = "parameters"
_MAX_KEPT = 50_000  # about 30 MB


@dataclass(frozen=True)
class PictureFacts:
    """What a picture's text says.

    Attributes:
        prompt: As it was made with, its choices made.
        preset: Of the model; "" if its files were named.
        people: `Identity.short_hash` of each person.
    """

    prompt: str = ""
    preset: str = ""
    people: tuple[str, ...] = ()


def picture_facts(path: Path) -> PictureFacts | None:
    """What a picture of ours says; None: it cannot be read, or says nothing.

    Only the head of the file is read: `save_picture` writes the text before the pixels.
    """
    try:
        with (
            open_regular(path) as file,
            decoding(path.name, "a PNG"),
            Image.open(file, formats=["PNG"]) as image,
        ):
            found = image.info.get(_TEXT_CHUNK)
    except (ImageFileError, OSError):
        return None
    if not isinstance(found, str):
        return None
    text = parse_text(found)
    try:
        people = tuple(person.identity_hash for person in people_from(text))
    except ValueError:
        people = ()
    return PictureFacts(text.prompt, text.values.get("Preset", ""), people)


class PictureFactsCache:
    """Remembers what pictures say: they never change. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: OrderedDict[str, PictureFacts | None] = OrderedDict()

    def facts(self, picture_id: str, path: Path) -> PictureFacts | None:
        """As `picture_facts`.

        Args:
            picture_id: The picture's name.
            path: Its file.
        """
        with self._lock:
            if picture_id in self._facts:
                self._facts.move_to_end(picture_id)
                return self._facts[picture_id]
        found = picture_facts(path)
        with self._lock:
            self._facts[picture_id] = found
            while len(self._facts) > _MAX_KEPT:
                self._facts.popitem(last=False)
        return found

    def forget(self, picture_id: str) -> None:
        """The picture was removed."""
        with self._lock:
            self._facts.pop(picture_id, None)
