"""Names of pictures: templates with fields, of the command line and of a batch.

The command line's names keep a text's capitals, and have sd-cli's numbers. A batch's are lower
case and refused where some system cannot have them: the same file of jobs always gives the same.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..system.output_names import is_device_name, unfit_name
from ..terminal_text import shown
from .formats import PICTURE_SUFFIXES

__all__ = [
    "BATCH_FIELDS",
    "DEFAULT_TEMPLATE",
    "FIELDS",
    "batch_name",
    "fill_in",
    "numbered_paths",
    "safe_name",
    "slug",
]

FIELDS = ("seed", "index", "person", "prompt", "preset", "weight", "date", "time")
_NUMBERS = ("seed", "index")
"""Fields that are whole numbers, which may be padded: {seed:04}."""
BATCH_FIELDS = tuple(name for name in FIELDS if name not in ("date", "time"))

DEFAULT_TEMPLATE = "{person}-{prompt}-s{seed}-w{weight}"
"""Of a batch."""

_NUMBER = re.compile(r"((?:[^%]|^)(?:%%)*)%(\d{0,3})d")
_DIGITS = re.compile(r"0?\d")
_MAX_NAME_BYTES = 80  # of one field; file systems take 255 of a whole name
_MAX_SLUG_CHARS = 40


def numbered_paths(
    output: Path, count: int, first: int = 0, suffix: str = PICTURE_SUFFIXES[0]
) -> list[Path]:
    """The command line's files for `count` pictures, fields not filled in yet.

    `out.png` is that file for one picture and out_0.png, out_1.png, ... for several;
    `out_%03d.png` is out_000.png, ... (`%%` for a percent sign); no suffix means `suffix`. A
    template with {index} or {seed} needs no number.

    Source: stable-diffusion.cpp, examples/cli/main.cpp, save_results.

    Raises:
        ValueError: As `fill_in`.
    """
    if output.suffix == "" or "{" in output.suffix:
        output = output.with_name(output.name + suffix)
    if _NUMBER.search(str(output)):
        return [_numbered(str(output), first + index) for index in range(count)]
    if count == 1 or _output_fields(output) & {"index", "seed"}:
        return [output] * count
    return [output.with_stem(f"{output.stem}_{first + index}") for index in range(count)]


def fill_in(template: Path, values: Mapping[str, object]) -> Path:
    """The command line's path with its fields filled in, made safe for names on every system.

    Args:
        template: As `numbered_paths` gives it; {seed:04} and {index:04} pad with zeros.
        values: By field, all of FIELDS.

    Raises:
        ValueError: A field that does not exist, or a brace by itself.
    """
    if not _output_fields(template):
        return Path(str(template).replace("{{", "{").replace("}}", "}"))
    safe = {
        name: value if name in _NUMBERS else safe_name(str(value)) for name, value in values.items()
    }
    parts = [
        part if part == template.anchor else _not_reserved(part, part.format(**safe))
        for part in template.parts
    ]
    return Path(*parts)


def safe_name(text: str) -> str:
    """Letters, digits and few signs of a text, the others as "-"; cut, and never empty."""
    normal = unicodedata.normalize("NFC", text)
    kept = "".join(
        char if char in "-_.+" or unicodedata.category(char)[0] in "LMN" else "-" for char in normal
    )
    kept = re.sub(r"-{2,}", "-", kept).strip("-.")
    kept = kept.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip("-.")
    return kept or "_"


def batch_name(template: str, values: Mapping[str, str | int]) -> str:
    """A batch's name of a picture, by a template like "{person}/{prompt}-{seed:04}.png".

    Args:
        template: With fields of BATCH_FIELDS; without a suffix, .png is added.
        values: Of every field; text is made fit for a file name.

    Returns:
        With / between folders.

    Raises:
        ValueError: A field that does not exist, or a name that some system cannot have.
    """
    fitting = {
        key: slug(value) if isinstance(value, str) else value for key, value in values.items()
    }
    try:
        _fields_of(template, BATCH_FIELDS, padded=BATCH_FIELDS)
        name = unicodedata.normalize("NFC", template.format_map(fitting))
    except ValueError as error:
        raise ValueError(f"name is {shown(template)}, but not a file name: {error}") from None
    if PurePosixPath(name).suffix.lower() not in PICTURE_SUFFIXES:
        name += PICTURE_SUFFIXES[0]
    for part in name.split("/"):
        if problem := unfit_name(part):
            raise ValueError(f"name is {shown(template)}, which gives {shown(name)}: {problem}")
    return name


def slug(text: str) -> str:
    """`text` as a part of a batch's file name: words joined by -, lower case.

    What is cut off, or has no letters at all, ends in a few digits of its hash.
    """
    normal = unicodedata.normalize("NFC", text).lower()
    words = re.sub(r"[^\w.]+", "-", normal).strip("-_.")
    if words and len(words) <= _MAX_SLUG_CHARS:
        return words
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{words[:_MAX_SLUG_CHARS].rstrip('-_.')}-{digest}".lstrip("-")


def _output_fields(template: Path) -> set[str]:
    try:
        return _fields_of(str(template), FIELDS, padded=_NUMBERS)
    except ValueError as error:
        raise ValueError(f"the output {template}: {error}") from None


def _fields_of(template: str, known: Sequence[str], *, padded: Sequence[str]) -> set[str]:
    """The fields that a template names.

    Args:
        known: Those that there are.
        padded: Those behind which a number of digits may stand.

    Raises:
        ValueError: Another one or another form, or a brace by itself.
    """
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("it has a single brace; write {{ for a literal brace") from None
    for _, field, form, conversion in parsed:
        if field is not None and field not in known:
            fields = ", ".join(f"{{{name}}}" for name in known)
            raise ValueError(f"there is no field {{{field}}}; the fields are {fields}")
        if conversion or (form and not (field in padded and _DIGITS.fullmatch(form))):
            may = "only a number of digits may" if field in padded else "nothing may"
            raise ValueError(f"{may} stand behind {field} in {{{field}}}")
    return {field for _, field, _, _ in parsed if field is not None}


def _numbered(pattern: str, number: int) -> Path:
    def fill(match: re.Match[str]) -> str:
        return match[1] + f"%{match[2]}d" % number

    return Path(_NUMBER.sub(fill, pattern).replace("%%", "%"))


def _not_reserved(template: str, name: str) -> str:
    return f"_{name}" if name != template and is_device_name(name) else name
