"""File names of a batch's pictures: the same file of jobs always gives the same ones."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

from .png_text import PICTURE_SUFFIXES

__all__ = ["DEFAULT_TEMPLATE", "NAME_FIELDS", "file_name", "folded", "slug"]

DEFAULT_TEMPLATE = "{person}-{prompt}-s{seed}-w{weight}"
NAME_FIELDS = ("index", "person", "preset", "prompt", "seed", "weight")

_MAX_SLUG_CHARS = 40
_MAX_PART_BYTES = 200  # of 255 on every file system; temporary files add a few
_FORM = re.compile(r"0?\d")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"\\|?*]')  # Windows' list; "/" parts folders
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows' names


def slug(text: str) -> str:
    """`text` as a part of a file name: words joined by -, lower case.

    What is cut off, or has no letters at all, ends in a few digits of its hash.
    """
    normal = unicodedata.normalize("NFC", text).lower()
    words = re.sub(r"[^\w.]+", "-", normal).strip("-_.")
    if words and len(words) <= _MAX_SLUG_CHARS:
        return words
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{words[:_MAX_SLUG_CHARS].rstrip('-_.')}-{digest}".lstrip("-")


def file_name(template: str, values: Mapping[str, str | int]) -> str:
    """Fill in a template like "{person}/{prompt}-{seed:04}.png".

    Args:
        template: With fields of NAME_FIELDS; without a suffix, .png is added.
        values: Of every field; text is made fit for a file name.

    Raises:
        ValueError: An unknown field, a name that some system cannot have, or a picture format
            that cannot be written.
    """
    fitting = {
        key: slug(value) if isinstance(value, str) else value for key, value in values.items()
    }
    try:
        for _, field, form, conversion in string.Formatter().parse(template):
            if field is not None and field not in NAME_FIELDS:
                raise ValueError(f"there is no field {{{field}}}")
            if conversion or (form and not _FORM.fullmatch(form)):
                raise ValueError("only a number of digits may stand behind a field, as {seed:04}")
        name = unicodedata.normalize("NFC", template.format_map(fitting))
    except ValueError as error:
        raise ValueError(
            f"name is {template!r}, but must be a file name with fields of "
            f"{', '.join(f'{{{field}}}' for field in NAME_FIELDS)}: {error}"
        ) from None
    if PurePosixPath(name).suffix.lower() not in PICTURE_SUFFIXES:
        name += PICTURE_SUFFIXES[0]
    for part in name.split("/"):
        if _unfit(part):
            raise ValueError(f"name is {template!r}, which gives {name!r}: {_unfit(part)}")
    return name


def folded(name: str) -> str:
    """What two names have in common that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _unfit(part: str) -> str:
    """Why this cannot be the name of a file or folder everywhere; "" if it can."""
    if part in ("", ".", "..") or part.startswith("."):
        return "a part of it is empty or begins with a dot"
    if part != part.strip() or part.endswith("."):
        return "a part of it begins or ends with a space, or ends with a dot"
    if _NOT_IN_NAMES.search(part) or _DEVICES.fullmatch(part):
        return "Windows has no such names"
    if len(part.encode("utf-8", "replace")) > _MAX_PART_BYTES:
        return f"it is longer than {_MAX_PART_BYTES} bytes"
    return ""
