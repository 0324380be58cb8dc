"""The unfinished picture in a file, for a viewer that shows it as it changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import ImageFileError, OutputFileError
from ...system.atomic_file import check_new, check_writable
from ...system.output_names import check_is_no_input

if TYPE_CHECKING:
    from PIL.Image import Image

    from .progress import Progress

__all__ = ["PreviewFile"]

_MARK = "a preview of pulid-sdcpp generate"
"""The text of a preview: what has it may be replaced by the next."""


class PreviewFile:
    """Writes previews, each as large as the picture; the file is always a whole picture.

    Args:
        path: Replaced at each preview.
        size: (width, height) in pixels.
        others: Files that are read or written, which it must not be.
        progress: Told of each preview.
        overwrite: Whether it may replace any file, and not only an earlier preview.

    Raises:
        ValueError: The suffix is of no picture format.
        OutputFileError: It cannot be written, or is there and is no preview.
        click.UsageError: It is one of the others.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        others: Iterable[Path],
        progress: Progress,
        *,
        overwrite: bool = False,
    ) -> None:
        from ...pictures.png_text import check_picture_path

        check_picture_path(path)
        check_writable(path)
        others = list(others)
        for other in others:
            if path.resolve() == other.resolve():
                raise click.UsageError(
                    f"--preview-path {path} would replace {other}; name another file"
                )
        check_is_no_input(path, others)
        if not overwrite and not _is_preview(path):
            check_new(path)
        self._path = path
        self._size = size
        self._progress = progress
        self._failed = False

    def show(self, image: Image, step: int) -> None:
        """The picture after `step` steps."""
        if self._write(image):
            self._progress.previewed(str(self._path), step)

    def finish(self, image: Image) -> None:
        """The finished picture."""
        self._write(image)

    def _write(self, image: Image) -> bool:
        from ...pictures.png_text import save_picture

        try:
            if not self._failed:
                save_picture(image.resize(self._size), self._path, _MARK)
        except OutputFileError as error:  # costs no picture
            self._failed = True
            self._progress.note(f"no more previews: {error}")
        return not self._failed


def _is_preview(path: Path) -> bool:
    """Whether an earlier command has left it."""
    from ...pictures.png_text import read_picture_text

    try:
        return read_picture_text(path) == _MARK
    except ImageFileError:
        return False
