"""The unfinished picture in a file, for a viewer that shows it as it changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..atomic_file import check_writable
from ..errors import OutputFileError

if TYPE_CHECKING:
    from PIL.Image import Image

    from .progress import Progress

__all__ = ["PreviewFile"]


class PreviewFile:
    """Writes previews, each as large as the picture; the file is always a whole picture.

    Args:
        path: Replaced at each preview.
        size: (width, height) in pixels.
        others: Files that are read or written, which it must not be.
        progress: Told of each preview.

    Raises:
        ValueError: The suffix is of no picture format.
        OutputFileError: It cannot be written.
        click.UsageError: It is one of the others.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], others: Iterable[Path], progress: Progress
    ) -> None:
        from ..png_text import check_picture_path

        check_picture_path(path)
        check_writable(path)
        for other in others:
            if path.resolve() == other.resolve():
                raise click.UsageError(f"--preview {path} would replace {other}; name another file")
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
        from ..png_text import save_picture

        try:
            if not self._failed:
                save_picture(image.resize(self._size), self._path)
        except OutputFileError as error:  # costs no picture
            self._failed = True
            self._progress.note(f"no more previews: {error}")
        return not self._failed
