"""The options of `generate` that say what is written where, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ...options.context import ContextOptions
from ...options.facts import Group
from ...options.preview import PREVIEW_METHODS
from ...terminal_text import shown
from .fact_option import fact_options
from .table import FILE_PATH, F, grouped_option

__all__ = ["OUTPUT_OPTIONS", "json_option"]

_HEADING: Group = "Output"


def _image_mode(ctx: click.Context, param: click.Parameter, mode: str) -> None:
    if mode != "img_gen":
        raise click.BadParameter(f"{shown(mode)} is not offered; only img_gen is", ctx, param)


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
    grouped_option("output", "-o", "--output", heading=_HEADING, type=FILE_PATH,
                   default=Path("output.png"), show_default=True, metavar="TEMPLATE",
                   help="Picture to write (.png, .jpg, .webp). May have {seed}, {index}, {person}, "
                        "{prompt}, {preset}, {weight}, {date}, {time}. Several become NAME_0, "
                        "NAME_1, ...; or put %03d where the number belongs. A file that is there "
                        "is kept, and NAME-2 written."),
    grouped_option("overwrite", "--overwrite", heading=_HEADING, is_flag=True,
                   help="Replace files that are there, but for those that are read."),
    grouped_option("output_begin_idx", "--output-begin-idx", heading=_HEADING,
                   type=click.IntRange(min=0), default=0, show_default=True, help="First number."),
    grouped_option("disable_image_metadata", "--disable-image-metadata", heading=_HEADING,
                   is_flag=True, help="Write no parameters into the picture."),
    grouped_option("preview", "--preview", heading=_HEADING, type=FILE_PATH, metavar="FILE",
                   help="Show the unfinished picture in this file, which is replaced as it goes "
                        "and at the end has the last finished one. A file that is there and is "
                        "no earlier preview is kept."),
    grouped_option("preview_method", "--preview-method", heading=_HEADING,
                   type=click.Choice(PREVIEW_METHODS), default=PREVIEW_METHODS[0],
                   show_default=True, metavar="|".join(PREVIEW_METHODS),
                   help="proj: instant, rough and small; tae: with --tae; vae: slow, exact."),
    grouped_option("preview_interval", "--preview-interval", heading=_HEADING,
                   type=click.IntRange(min=1), default=1, show_default=True,
                   help="Steps between previews."),
    json_option("Say everything as JSON, one object per line on stdout."),
    grouped_option("quiet", "--quiet", heading=_HEADING, is_flag=True,
                   help="Print nothing but errors."),
    *fact_options(_HEADING, ContextOptions),
    grouped_option("mode", "-M", "--mode", heading=_HEADING, default="img_gen",
                   callback=_image_mode, expose_value=False, hidden=True),
]  # fmt: skip
