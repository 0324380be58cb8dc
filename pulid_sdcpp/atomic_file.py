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
def atomic_file(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, moved into its place when the block ends well.

    The temporary file is in the same folder, so that the final rename is atomic; it is
    flushed to the disk first. When the block raises, nothing is left and an existing
    file keeps its content.

    Args:
        path: The file to write.
        overwrite: Whether it may replace a file, or only become a new one.

    Raises:
        OutputFileError: The folder is missing or read-only, `path` is a folder, or the disk is
            full.
        FileExistsError: `overwrite` is off and there is such a file, also when another process
            wrote it meanwhile.
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
        if overwrite:
            os.replace(temporary, target)
        else:
            _place_new(temporary, target)
        temporary = None
    except FileExistsError:
        raise
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


def _place_new(temporary: Path, target: Path) -> None:
    """Give a file its name unless that is taken, in one step."""
    if os.name == "nt":
        os.rename(temporary, target)  # does not replace there
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: take the name first
        os.close(os.open(target, os.O_CREAT | os.O_EXCL))
        os.replace(temporary, target)
        return
    temporary.unlink()


def _mode_for(target: Path) -> int:
    """The permissions an ordinary `open()` would give: mkstemp's are private to the user."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
