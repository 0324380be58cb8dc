"""`-o -`: one picture to stdout, and nothing else there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...pictures.formats import holding_suffix
from ..progress.interrupt import Interrupted
from ..progress.streams import write_to_stdout
from .output_request import OutputRequest

if TYPE_CHECKING:
    from ...pictures.result import Result
    from ..progress.progress import Progress

__all__ = ["OutputStdout", "check_stdout"]


def check_stdout(*, as_json: bool) -> None:
    """Refuse a stdout that no picture should go to.

    Raises:
        click.UsageError: Says what to do instead.
    """
    if as_json:
        raise click.UsageError("--json writes to stdout, and so does -o -; name a file for one")
    if sys.stdout.isatty():
        raise click.UsageError(
            "-o - writes the picture to stdout, which is a terminal; redirect it, as in "
            "'> picture.png', or pipe it into a program"
        )


class OutputStdout:
    """Takes the place of `OutputFiles`.

    Args:
        output: The format, its quality, and whether the text is in it.
        count: How many pictures are asked for.
        progress: Told when it is written.

    Raises:
        click.UsageError: There is more than one.
    """

    def __init__(self, output: OutputRequest, count: int, progress: Progress) -> None:
        if count != 1:
            raise click.UsageError(f"-o - takes one picture, not {count}; write them to files")
        self._output = output
        self._progress = progress

    @property
    def paths(self) -> list[Path]:
        """No file is written."""
        return []

    def save(self, result: Result) -> None:
        """Write the picture.

        Raises:
            ReaderGone, OutputFileError: It cannot be written.
        """
        from ...pictures.png_text import encoded_picture

        output = self._output
        text = result.text if output.with_text else ""
        suffix = holding_suffix(output.suffix, result.image.size)
        if suffix != output.suffix:
            self._progress.warning("the picture is too large for its format, so it is a PNG")
        content = encoded_picture(result.image, suffix, text, quality=output.quality)
        write_to_stdout(content)
        self._progress.stage(f"wrote {len(content)} bytes to stdout (seed {result.seed})")

    def interrupted(self) -> Interrupted:
        """What to say after Ctrl-C."""
        return Interrupted("interrupted; nothing was written")
