"""Options of the commands that look at photos: which photo, and where the networks are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...errors import FaceNotFoundError
from ...terminal_text import shown
from .completions import complete_for_extraction
from .table import FILE_PATH, HomePath

__all__ = [
    "PhotoPath",
    "models_options",
    "pulid_weights_option",
    "refuse_warnings",
    "strict_option",
]

if TYPE_CHECKING:
    from ...identity.identity_file import Identity

Command = TypeVar("Command", bound=Callable[..., Any])


class PhotoPath(HomePath):
    """A photo's file. One that is not there is a problem with a file: the reader says so."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not str(value).strip():  # it would be the current folder
            self.fail("it is empty; name a photo", param, ctx)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(value)):
            self.fail(f"{shown(value)} is a web address; download the photo first", param, ctx)
        return super().convert(value, param, ctx)


pulid_weights_option = click.option(
    "--pulid-weights",
    type=FILE_PATH,
    help="PuLID weights to use in place of those found: for Flux, or v1 or v1.1 for SDXL. An "
    "identity fits only the weights that it was made with.",
)

strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Write nothing if a photo gives a warning: a small, blurred or turned face, several faces "
    "without --face, or another person.",
)


def refuse_warnings(identity: Identity, photos: Sequence[Path]) -> None:
    """What --strict asks for.

    Raises:
        FaceNotFoundError: The photos have a warning.
    """
    if warnings := identity.photo_warnings:
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        message = warnings[0].message([str(photo) for photo in photos])
        raise FaceNotFoundError(f"{message}{more}; nothing is written, because of --strict")


def models_options(command: Command) -> Command:
    """`--preset` and `--models-dir`."""
    folder = click.option(
        "--models-dir", type=FILE_PATH, default=Path("models"), show_default=True,
        help="Folder with antelopev2/, EVA02_CLIP_L_336_psz14_s6B.pt, parsing_bisenet.pth and the "
        "PuLID weights; with --preset, one more folder to search. If it does not exist, the files "
        "from 'pulid-sdcpp models pull' are used.",
    )  # fmt: skip
    preset = click.option(
        "--preset", metavar="NAME", shell_complete=complete_for_extraction,
        help="Use the files of this preset or part; 'pulid-sdcpp models list' shows all.",
    )  # fmt: skip
    return preset(folder(command))
