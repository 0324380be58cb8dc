"""File names of a batch's pictures: the same file of jobs always gives the same ones."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

from ..system.output_names import unfit_name
from ..terminal_text import shown
from .png_text import PICTURE_SUFFIXES

__all__ = ["DEFAULT_TEMPLATE", "NAME_FIELDS", "file_name", "slug"]

DEFAULT_TEMPLATE = "{person}-{prompt}-s{seed}-w{weight}"
NAME_FIELDS = ("index", "person", "preset", "prompt", "seed", "weight")

_MAX_SLUG_CHARS = 40
_FORM = re.compile(r"0?\d")


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
            f"name is {shown(template)}, but must be a file name with fields of "
            f"{', '.join(f'{{{field}}}' for field in NAME_FIELDS)}: {error}"
        ) from None
    if PurePosixPath(name).suffix.lower() not in PICTURE_SUFFIXES:
        name += PICTURE_SUFFIXES[0]
    for part in name.split("/"):
        if problem := unfit_name(part):
            raise ValueError(f"name is {shown(template)}, which gives {shown(name)}: {problem}")
    return name
