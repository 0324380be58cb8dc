"""Folders of files that are written: made before there is work, gone again if nothing came."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import OutputFileError
from ..terminal_text import control_character, escaped_line, reason_of

__all__ = ["output_folders"]


@contextlib.contextmanager
def output_folders(paths: Iterable[str | os.PathLike[str]]) -> Iterator[None]:
    """Make the folders that these files need and that are not there.

    In the end those of them that are still empty are removed, whether the block raises or not.

    Args:
        paths: Files that will be written.

    Raises:
        OutputFileError: A folder cannot be made; those that were are removed.
    """
    made: list[Path] = []
    try:
        for path in paths:
            _make(Path(path), made)
        yield
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # it has something in it
                folder.rmdir()


def _make(path: Path, made: list[Path]) -> None:
    missing: list[Path] = []
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        if character := control_character(folder.name):
            raise OutputFileError(
                f"cannot write {escaped_line(path)}: the folder {escaped_line(folder)} has the "
                f"control character {character} in its name"
            )
        try:
            folder.mkdir()
            made.append(folder)
        except FileExistsError:  # another process was faster
            pass
        except OSError as error:
            raise OutputFileError(
                f"cannot write {path}: cannot make the folder {folder}: {reason_of(error)}"
            ) from error
