"""Options of the commands that look at photos: which photo, and where the networks are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ...terminal_text import shown
from .table import FILE_PATH, HomePath

__all__ = ["PhotoPath", "chosen_preset", "detector_file", "models_options", "preset_files"]

Command = TypeVar("Command", bound=Callable[..., Any])


class PhotoPath(HomePath):
    """A photo's file, which exists."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(value)):
            self.fail(f"{shown(value)} is a web address; download the photo first", param, ctx)
        return super().convert(value, param, ctx)


def models_options(command: Command) -> Command:
    """`--preset` and `--models-dir`."""
    folder = click.option(
        "--models-dir", type=FILE_PATH, default=Path("models"), show_default=True,
        help="Folder with antelopev2/, EVA02_CLIP_L_336_psz14_s6B.pt, parsing_bisenet.pth and the "
        "PuLID weights; with --preset, one more folder to look in. Where there is no such folder, "
        "the files that 'pulid-sdcpp models pull' brings are used.",
    )  # fmt: skip
    preset = click.option(
        "--preset", metavar="NAME",
        help="Take the files of this preset, see 'pulid-sdcpp models', instead of --models-dir's.",
    )  # fmt: skip
    return preset(folder(command))


def chosen_preset(preset: str | None, models_dir: Path) -> str | None:
    """The preset that is named; one that stands for all where no folder is to be looked in.

    The published presets have the same networks for photos.
    """
    if preset is None and not _folder_is_given() and not models_dir.is_dir():
        return "flux-schnell-q4"
    return preset


def preset_files(preset: str, models_dir: Path, *roles: str) -> dict[str, Path]:
    """The preset's files for extraction by role; of all roles when none is named.

    Raises:
        ModelFileError, ValueError: As `extraction.files`.
    """
    from ...extraction.files import extraction_files
    from ...store.registry import EXTRACTION_ROLES

    folders = [models_dir] if _folder_is_given() else []
    return extraction_files(preset, folders, roles or EXTRACTION_ROLES)


def detector_file(preset: str | None, models_dir: Path) -> Path:
    """The face detector's.

    Raises:
        ModelFileError: It is not there.
        ValueError: There is no such preset.
    """
    if (name := chosen_preset(preset, models_dir)) is not None:
        return preset_files(name, models_dir, "detector")["detector"]
    from ...extraction.files import file_in_folder

    return file_in_folder(models_dir, "detector")


def _folder_is_given() -> bool:
    source = click.get_current_context().get_parameter_source("models_dir")
    return source is not None and source.name != "DEFAULT"
