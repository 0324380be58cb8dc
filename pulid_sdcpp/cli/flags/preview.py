"""The options of `generate` about the unfinished picture: those of sd-cli, and their earlier form.

--preview tae --preview-path look.png    as in sd-cli
--preview look.png --preview-method tae  as it was here before; it goes on working
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...options.facts import Group
from ...options.preview import PREVIEW_METHODS
from ...terminal_text import shown
from .table import FILE_PATH, grouped_option

__all__ = ["PREVIEW_OPTIONS", "PreviewRequest"]

_HEADING: Group = "Output"
_NONE = "none"
_CHOICES = (_NONE, *PREVIEW_METHODS)
_DEFAULT_PATH = Path("preview.png")  # sd-cli's


class _MethodOrFile(click.ParamType):
    """A method, or the path of a file."""

    name = "METHOD"

    def convert(self, value: Any, param: Any, ctx: Any) -> str | Path:
        if value in _CHOICES or isinstance(value, Path):
            known: str | Path = value
            return known
        if not Path(value).suffix:
            self.fail(
                f"{shown(value)} is not one of {', '.join(_CHOICES)}; --preview-path names the "
                "file",
                param,
                ctx,
            )
        path: Path = FILE_PATH.convert(value, param, ctx)
        return path


PREVIEW_OPTIONS = [
    grouped_option("preview", "--preview", heading=_HEADING, type=_MethodOrFile(),
                   metavar="|".join(_CHOICES),
                   help="Write the unfinished picture to --preview-path again and again, and at "
                        "the end the last finished one. proj: fast, rough and small; tae: needs "
                        "--tae; vae: slow, exact."),
    grouped_option("preview_path", "--preview-path", heading=_HEADING, type=FILE_PATH,
                   metavar="FILE",
                   help="File of --preview, which is proj if only this is given; a new file or an "
                        f"earlier preview. Default: {_DEFAULT_PATH}."),
    grouped_option("preview_method", "--preview-method", heading=_HEADING,
                   type=click.Choice(PREVIEW_METHODS), metavar="|".join(PREVIEW_METHODS),
                   help="Earlier form of --preview, which then takes the file."),
    grouped_option("preview_interval", "--preview-interval", heading=_HEADING,
                   type=click.IntRange(min=1), default=1, show_default=True,
                   help="Steps between previews."),
    grouped_option("preview_noisy", "--preview-noisy", heading=_HEADING, is_flag=True,
                   help="Show what goes into each step, with its noise, and not what comes out."),
]  # fmt: skip


@dataclass(frozen=True)
class PreviewRequest:
    """What the flags say.

    Attributes:
        path: A file that shows the unfinished picture.
        method, interval, noisy: As those of `PulidPipeline.generate`.
        note: What the user should know; "": nothing.
    """

    path: Path
    method: str
    interval: int
    noisy: bool
    note: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PreviewRequest | None:
        """Of a command's values, which have the flags' defaults; None: no preview.

        Raises:
            click.UsageError: Two methods or two files.
        """
        given, path, method = (values[n] for n in ("preview", "preview_path", "preview_method"))
        note = ""
        if isinstance(given, Path):
            if path is not None:
                raise click.UsageError(
                    f"--preview {given} and --preview-path {path} name a file each; --preview is "
                    f"one of {', '.join(_CHOICES)}"
                )
            path, given = given, None
            note = (
                f"--preview takes a method as in sd-cli ({', '.join(_CHOICES)}); {path} is taken "
                "as --preview-path, which is for files"
            )
        if given is not None and method is not None and given != method:
            raise click.UsageError(f"--preview {given} and --preview-method {method} differ")
        if given == _NONE or (given is None and path is None and method is None):
            return None
        return cls(
            path=path or _DEFAULT_PATH,
            method=given or method or PREVIEW_METHODS[0],
            interval=values["preview_interval"],
            noisy=values["preview_noisy"],
            note=note,
        )
