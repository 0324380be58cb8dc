"""Where the pictures of one `generate` go, and what is in them beside pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...pictures.formats import FORMATS, Quality, check_quality
from ..flags.preview import PreviewRequest
from .prompt_text import STDIN

__all__ = ["STDOUT", "OutputRequest"]

STDOUT = Path(STDIN)
"""`-o -`"""


@dataclass(frozen=True)
class OutputRequest:
    """What the flags of the output say.

    Attributes:
        template: The picture's path, with {seed} and the like in it; STDOUT: it is written there.
        suffix: Of a name that has none, and of stdout.
        quality: Of JPEG and WebP.
        first_index: The number of the first of several.
        overwrite: Replace files that are there.
        with_text: Write the parameters into the pictures.
        preview: A file that shows the unfinished picture; None: none does.
    """

    template: Path
    suffix: str
    quality: Quality
    first_index: int
    overwrite: bool
    with_text: bool
    preview: PreviewRequest | None

    @classmethod
    def of(cls, values: Mapping[str, Any], given: Mapping[str, Any]) -> OutputRequest:
        """Of a command's values, which have the flags' defaults, and of those that were given.

        Raises:
            click.UsageError: Flags that do not go together.
        """
        suffix = f".{given.get('format', 'png')}"
        template = values["output"]
        if "format" in given and "output" not in given:
            template = template.with_suffix("")
        own = FORMATS.get(template.suffix.lower())
        if "format" in given and own not in (None, FORMATS[suffix]):
            raise click.UsageError(
                f"--format is {given['format']}, but the output's name ends in {template.suffix}; "
                "leave one out"
            )
        if "quality" in given:
            _check_quality(given["quality"], template.suffix if own else suffix)
        return cls(
            template=template,
            suffix=suffix,
            quality=values["quality"],
            first_index=values["output_begin_idx"],
            overwrite=values["overwrite"],
            with_text=not values["disable_image_metadata"],
            preview=PreviewRequest.of(values),
        )

    @property
    def is_stdout(self) -> bool:
        """Whether the picture goes to stdout."""
        return self.template == STDOUT


def _check_quality(quality: Quality, suffix: str) -> None:
    if FORMATS[suffix.lower()] == "PNG":
        raise click.UsageError(
            "--quality is for .jpg and .webp; .png keeps every pixel, so leave it out, or name "
            "another output"
        )
    check_quality(quality, suffix)
