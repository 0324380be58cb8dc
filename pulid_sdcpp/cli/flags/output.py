"""The options of `generate` that say what is written where, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ...options.context import ContextOptions
from ...options.facts import Group
from ...pictures.formats import QUALITY
from ...terminal_text import shown
from .fact_option import fact_options
from .not_offered import NOT_OFFERED_MODES
from .preview import PREVIEW_OPTIONS
from .table import F, grouped_option
from .types import PicturePath, QualityType

__all__ = ["OUTPUT_OPTIONS", "json_option"]

_HEADING: Group = "Output"


def _image_mode(ctx: click.Context, param: click.Parameter, mode: str) -> None:
    if mode != "img_gen":
        why = NOT_OFFERED_MODES.get(mode, "only img_gen is offered")
        raise click.BadParameter(f"{shown(mode)}: {why}", ctx, param)


def _announce_json(ctx: click.Context, param: click.Parameter, as_json: bool) -> bool:
    """Before the other options are looked at: what is wrong with them is an object, too."""
    if as_json and ctx.obj is not None:
        ctx.obj.as_json = True
    return as_json


def json_option(help: str) -> Callable[[F], F]:
    """`--json` of a command whose progress and errors are objects, one per line, on stdout."""
    return grouped_option("as_json", "--json", heading=_HEADING, is_flag=True, is_eager=True,
                          callback=_announce_json, help=help)  # fmt: skip


OUTPUT_OPTIONS = [
    grouped_option("output", "-o", "--output", heading=_HEADING, type=PicturePath("output"),
                   default=Path("output.png"), show_default=True, metavar="TEMPLATE",
                   help="Picture to write (.png, .jpg, .webp), a folder for it, or - for stdout. "
                        "The name may contain {seed}, {index}, {person}, {prompt}, {preset}, "
                        "{weight}, {date}, {time}; folders are created. Several pictures become "
                        "NAME_0, NAME_1, ..., or are numbered at %03d. An existing file is kept, "
                        "and NAME-2 is written."),
    grouped_option("format", "--format", heading=_HEADING,
                   type=click.Choice(["png", "jpg", "webp"], case_sensitive=False),
                   help="Format of a picture whose name has no suffix, or of stdout; otherwise "
                        "the suffix says it."),
    grouped_option("quality", "--quality", heading=_HEADING, type=QualityType(),
                   default=QUALITY, show_default=True,
                   help="Of .jpg and .webp; lossless, for .webp, keeps every pixel."),
    grouped_option("overwrite", "--overwrite", heading=_HEADING, is_flag=True,
                   help="Replace existing files, except those that the command reads."),
    grouped_option("output_begin_idx", "--output-begin-idx", heading=_HEADING,
                   type=click.IntRange(min=0), default=0, show_default=True,
                   help="Number of the first picture."),
    grouped_option("disable_image_metadata", "--disable-image-metadata", heading=_HEADING,
                   is_flag=True, help="Do not write parameters into the picture."),
    *PREVIEW_OPTIONS,
    json_option("Report everything as JSON, one object per line on stdout."),
    grouped_option("quiet", "--quiet", heading=_HEADING, is_flag=True,
                   help="Print only errors."),
    grouped_option("color", "--color", heading=_HEADING, is_flag=True,
                   help="Colour the levels of log lines, on a terminal."),
    *fact_options(_HEADING, ContextOptions),
    grouped_option("mode", "-M", "--mode", heading=_HEADING, default="img_gen",
                   callback=_image_mode, expose_value=False, hidden=True),
]  # fmt: skip
