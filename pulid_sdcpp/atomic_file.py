"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import OutputFileError

__all__ = ["atomic_file", "check_writable"]


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, moved into its place when the block ends well.

    The temporary file is in the same folder, so that the final rename is atomic; it is
    flushed to the disk first. When the block raises, nothing is left and an existing
    file keeps its content.

    Args:
        path: The file to write.

    Raises:
        OutputFileError: The folder is missing or read-only, `path` is a folder, or the disk is
            full.
    """
    target = Path(path)
    check_writable(target)
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent
        )
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode_for(target))
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputFileError(f"cannot write {target}: {reason}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse early, before minutes of work, a `path` that could never be written.

    Raises:
        OutputFileError: The folder does not exist or is read-only, or `path` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputFileError(f"cannot write {target}: it is a folder; name a file in it")
    folder = target.parent
    if not folder.is_dir():
        raise OutputFileError(f"cannot write {target}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise OutputFileError(f"cannot write {target}: the folder {folder} is read-only")


def _mode_for(target: Path) -> int:
    """The permissions an ordinary `open()` would give: mkstemp's are private to the user."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
