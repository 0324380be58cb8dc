"""Where pictures go: names by template, and numbers as sd-cli has them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from ..system.output_names import is_device_name
from .png_text import PICTURE_SUFFIXES

__all__ = [
    "FIELDS",
    "fields_of",
    "fill_in",
    "numbered_paths",
    "safe_name",
]

FIELDS = ("seed", "index", "person", "prompt", "preset", "weight", "date", "time")

_NUMBER = re.compile(r"((?:[^%]|^)(?:%%)*)%(\d{0,3})d")
_MAX_NAME_BYTES = 80  # of one field; file systems take 255 of a whole name


def fields_of(template: Path) -> set[str]:
    """The fields that a template names.

    Raises:
        ValueError: One that does not exist, or a brace by itself.
    """
    try:
        parsed = list(string.Formatter().parse(str(template)))
    except ValueError:
        raise ValueError(
            f"the output {template} has a brace by itself; write {{{{ for one that is meant"
        ) from None
    for _, field, spec, conversion in parsed:
        if field is not None and (field not in FIELDS or spec or conversion):
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise ValueError(f"the output {template} has {{{field}}}; the fields are {known}")
    return {field for _, field, _, _ in parsed if field is not None}


def numbered_paths(output: Path, count: int, first: int = 0) -> list[Path]:
    """The files for `count` pictures, fields not filled in yet.

    `out.png` is that file for one picture and out_0.png, out_1.png, ... for several;
    `out_%03d.png` is out_000.png, ... (`%%` for a percent sign); no suffix means .png. A template
    with {index} or {seed} needs no number.

    Source: stable-diffusion.cpp, examples/cli/main.cpp, save_results.

    Raises:
        ValueError: As `fields_of`.
    """
    if output.suffix == "" or "{" in output.suffix:
        output = output.with_name(output.name + PICTURE_SUFFIXES[0])
    if _NUMBER.search(str(output)):
        return [_numbered(str(output), first + index) for index in range(count)]
    if count == 1 or fields_of(output) & {"index", "seed"}:
        return [output] * count
    return [output.with_stem(f"{output.stem}_{first + index}") for index in range(count)]


def fill_in(template: Path, values: Mapping[str, object]) -> Path:
    """The path with its fields filled in, made safe for file names on every system.

    Args:
        template: As `numbered_paths` gives it.
        values: By field, all of FIELDS.

    Raises:
        ValueError: As `fields_of`.
    """
    if not fields_of(template):
        return Path(str(template).replace("{{", "{").replace("}}", "}"))
    safe = {name: safe_name(str(value)) for name, value in values.items()}
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


def _numbered(pattern: str, number: int) -> Path:
    def fill(match: re.Match[str]) -> str:
        return match[1] + f"%{match[2]}d" % number

    return Path(_NUMBER.sub(fill, pattern).replace("%%", "%"))


def _not_reserved(template: str, name: str) -> str:
    return f"_{name}" if name != template and is_device_name(name) else name
