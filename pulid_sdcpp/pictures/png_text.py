"""Pictures saved with the text that made them, in the form AUTOMATIC1111's web UI uses.

    a portrait of a person
    Negative prompt: blurry
    Steps: 4, Sampler: Euler, CFG scale: 1.0, Seed: 42, Size: 512x512, Model: flux1-schnell

PNG keeps it in a text chunk named "parameters"; JPEG and WebP in EXIF's UserComment.
Picture sites and other user interfaces read it there.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from ..errors import ImageFileError
from ..system.atomic_file import atomic_file
from ..system.given_content import FileContent
from ..system.image_file import picture_bytes, picture_name
from ..system.output_names import save_under_free_name
from ..system.picture_decoding import opened_picture
from ..terminal_text import shown
from .formats import (
    FORMATS,
    MAX_SIDE_PX,
    PICTURE_SUFFIXES,
    QUALITY,
    Quality,
    check_quality,
)  # fmt: skip

__all__ = [
    "PICTURE_SUFFIXES",
    "PictureText",
    "check_picture_path",
    "encoded_picture",
    "format_text",
    "parse_text",
    "read_picture_text",
    "save_new_picture",
    "save_picture",
]

_CHUNK = "parameters"
_NEGATIVE = "Negative prompt:"
_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_UNICODE = b"UNICODE\0"  # EXIF 2.32, 4.6.5: UserComment starts with its character code
_MAX_EXIF_BYTES = 65_000  # a JPEG segment holds 65,533
_MAX_CHARS = 1 << 18  # of a text that is read: twenty times the longest prompt
# Of a "key: value" in the last line; a value with , : or a line break is a JSON string.
_KEY = re.compile(r"[\w \-/]+")
_LETTER = re.compile(r"\w")
_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'"(?:\\.|[^\\"])+"(?=,|$)')
_MIN_KEY_CHARS = 2
_MIN_PAIRS = 3  # a last line with fewer belongs to the prompt
# Written only when the plain lines would not give the same prompt back.
_EXACT_PROMPT = "Exact prompt"
_EXACT_NEGATIVE = "Exact negative prompt"


@dataclass(frozen=True)
class PictureText:
    """What a picture's text says.

    Args:
        prompt, negative_prompt: As they were given.
        values: The last line's keys and values, in order; all text.
    """

    prompt: str
    negative_prompt: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def format_text(text: PictureText) -> str:
    """Write `text` so that `parse_text` gives it back exactly.

    Raises:
        ValueError: A key that the form has no place for.
    """
    for key in text.values:
        if not re.fullmatch(r"\w[\w \-/]+", key) or key in (_EXACT_PROMPT, _EXACT_NEGATIVE):
            raise ValueError(f"{shown(key)} cannot be a key of a picture's text")
    plain = _format(text.prompt, text.negative_prompt, text.values)
    if parse_text(plain) == text:
        return plain
    exact = {_EXACT_PROMPT: text.prompt, _EXACT_NEGATIVE: text.negative_prompt}
    written = _format(text.prompt, text.negative_prompt, {**text.values, **exact})
    if parse_text(written) != text:
        raise ValueError(
            f"a picture's text needs values beside the prompt, not {shown(text.values)}"
        )
    return written


def parse_text(text: str) -> PictureText:
    """Read a picture's text, ours or another program's; never fails.

    Source: the form is AUTOMATIC1111 stable-diffusion-webui's, modules/infotext_utils.py.
    """
    lines = text.strip().split("\n")
    pairs = list(_pairs(lines[-1]))
    if len(pairs) < _MIN_PAIRS:
        pairs = []
    else:
        lines.pop()
    prompt: list[str] = []
    negative: list[str] = []
    current = prompt
    for line in lines:
        line = line.strip()
        if line.startswith(_NEGATIVE):
            current = negative
            line = line.removeprefix(_NEGATIVE).strip()
        current.append(line)
    values = {key: _unquote(value) for key, value in pairs}
    return PictureText(
        prompt=values.pop(_EXACT_PROMPT, "\n".join(prompt)),
        negative_prompt=values.pop(_EXACT_NEGATIVE, "\n".join(negative)),
        values=values,
    )


def check_picture_path(path: str | os.PathLike[str], text: str = "") -> None:
    """Refuse, before any picture is made, a `path` whose format cannot be written.

    Raises:
        ValueError: The suffix is of no format we write, or the format cannot hold `text`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"cannot write {path}: {suffix or 'no suffix'} is not a picture format offered here; "
            f"use {', '.join(PICTURE_SUFFIXES)}"
        )
    size = len(_exif(text).tobytes()) if suffix != ".png" else 0
    if size > _MAX_EXIF_BYTES:
        raise ValueError(
            f"cannot write {path}: its text would take {size} bytes and {suffix} has room for "
            f"{_MAX_EXIF_BYTES}; use .png or a shorter prompt"
        )


def save_picture(
    image: Image.Image,
    path: str | os.PathLike[str],
    text: str = "",
    *,
    overwrite: bool = True,
    quality: Quality = QUALITY,
) -> None:
    """Save `image` as RGB with `text` in it; the file appears whole or not at all.

    Args:
        image: The picture.
        path: Where to; the suffix, of PICTURE_SUFFIXES, decides the format.
        text: As `format_text` gives it; "" for none.
        overwrite: Whether it may replace a file.
        quality: Of JPEG and WebP.

    Raises:
        ValueError: As `check_picture_path` and `check_quality`.
        OutputFileError: The file cannot be written; OutputExistsError: it exists, and `overwrite`
            is off.
    """
    check_picture_path(path, text)
    encoded = encoded_picture(image, Path(path).suffix, text, quality=quality)
    with atomic_file(path, overwrite=overwrite) as file:
        file.write(encoded)


def encoded_picture(
    image: Image.Image, suffix: str, text: str = "", *, quality: Quality = QUALITY
) -> memoryview:
    """The bytes of the file that `save_picture` writes.

    Args:
        image, text, quality: As for `save_picture`.
        suffix: Of PICTURE_SUFFIXES, in any case of its letters.

    Raises:
        ValueError: As `save_picture`.
    """
    check_picture_path(f"picture{suffix}", text)
    check_quality(quality, suffix)
    format_name = FORMATS[suffix.lower()]
    if max(image.size) > (longest := MAX_SIDE_PX[format_name]):
        raise ValueError(
            f"the picture has {image.width}x{image.height} pixels, and {format_name} "
            f"{longest} a side at most; write PNG"
        )
    options: dict[str, Any] = {}
    if format_name == "PNG":
        chunks = PngImagePlugin.PngInfo()
        if text:
            chunks.add_text(_CHUNK, text)  # tEXt; iTXt where Latin-1 is not enough
        options["pnginfo"] = chunks
    else:
        is_lossless = quality == "lossless"
        options |= {"lossless": True, "quality": 100} if is_lossless else {"quality": quality}
        if text:
            options["exif"] = _exif(text)
    encoded = io.BytesIO()
    image.convert("RGB").save(encoded, format_name, **options)
    return encoded.getbuffer()


def save_new_picture(
    image: Image.Image,
    path: Path,
    text: str = "",
    *,
    overwrite: bool = False,
    quality: Quality = QUALITY,
) -> Path:
    """Save `image` under the next free name where `path` is taken, or replace what is there.

    Args:
        image, path, text, quality: As for `save_picture`.
        overwrite: Whether to replace it.

    Returns:
        The path that it has.

    Raises:
        ValueError, OutputFileError: As `save_picture`.
    """
    if overwrite:
        save_picture(image, path, text, quality=quality)
        return path
    return save_under_free_name(
        path, lambda free: save_picture(image, free, text, overwrite=False, quality=quality)
    )


def read_picture_text(path: str | os.PathLike[str] | FileContent) -> str | None:
    """The text in a picture file, or None if there is none.

    Args:
        path: The file, what is in it, or an open one.

    Raises:
        ImageFileError: The file is missing or not a picture, or its text has over
            262,144 characters.
    """
    name = picture_name(path)
    with opened_picture(picture_bytes(path), name) as image:
        image.load()  # a text chunk may come after the pixels
        found = image.info.get(_CHUNK)
        comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    text = None
    if isinstance(found, str):
        text = str(found)
    elif isinstance(comment, bytes) and comment.startswith(_UNICODE):
        text = comment.removeprefix(_UNICODE).decode("utf-16-be", "replace")
    if text is not None and len(text) > _MAX_CHARS:
        raise ImageFileError(
            f"{name}: expected a text of {_MAX_CHARS} characters at most in it, found {len(text)}"
        )
    return text


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Each "key: value" of a line; passes over it once, whatever it says."""
    place = 0
    while run := _KEY.search(line, place):
        colon = place = run.end()
        first = _LETTER.search(line, run.start(), colon)
        if not line.startswith(":", colon) or not first or colon - first.start() < _MIN_KEY_CHARS:
            continue
        begin = _SPACE.match(line, colon + 1).end()  # type: ignore[union-attr]
        quoted = _QUOTED.match(line, begin)
        end = quoted.end() if quoted else line.find(",", begin)
        end = len(line) if end < 0 else end
        yield line[first.start() : colon], line[begin:end]
        place = end + 1


def _format(prompt: str, negative_prompt: str, values: Mapping[str, str]) -> str:
    parts = [prompt]
    if negative_prompt:
        parts.append(f"{_NEGATIVE} {negative_prompt}")
    parts.append(", ".join(f"{key}: {_quote(value)}" for key, value in values.items()))
    return "\n".join(parts)


def _quote(value: str) -> str:
    plain = value and value == value.strip() and not re.search(r'[,:\n"]', value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def _unquote(value: str) -> str:
    if value.startswith('"') and value.endswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            pass
    return value.strip()


def _exif(text: str) -> Image.Exif:
    exif = Image.Exif()
    exif[_EXIF_IFD] = {_USER_COMMENT: _UNICODE + text.encode("utf-16-be")}
    return exif
