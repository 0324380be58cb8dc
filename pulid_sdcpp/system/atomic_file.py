"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputExistsError, OutputFileError
from ..terminal_text import control_character, escaped_line, reason_of

__all__ = ["atomic_file", "atomic_path", "check_new", "check_writable", "private_folder"]

_KEPT_CHARS = 100  # of a name, in that of its temporary file
_PRIVATE = 0o600
_ORDINARY = 0o666


@contextlib.contextmanager
def atomic_file(
    path: str | os.PathLike[str], *, overwrite: bool = True, private: bool = False
) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, moved into its place when the block ends well.

    The temporary file is in the same folder, so that the final rename is atomic; it is
    flushed to the disk first. When the block raises, nothing is left and an existing
    file keeps its content.

    Args:
        path: The file to write.
        overwrite: Whether it may replace a file, or only become a new one.
        private: Only the user may read it, on Linux and macOS, at no moment anybody else. Else
            it has the permissions of the file that it replaces, or those the user gives new files.

    Raises:
        OutputFileError: The folder is missing or read-only, `path` is a folder, its name has
            control characters, or the disk is full. OutputExistsError: `overwrite` is off and
            there is such a file, also when another process wrote it meanwhile.
    """
    temporary = atomic_path(path, overwrite=overwrite, private=private)
    with temporary as name, _writing(Path(path)), name.open("r+b") as file:
        yield file


@contextlib.contextmanager
def atomic_path(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    private: bool = False,
    suffix: str = ".part",
) -> Iterator[Path]:
    """As `atomic_file`, for who writes by name: an empty file to write into.

    Args:
        path, overwrite, private: As for `atomic_file`.
        suffix: How the temporary file's name ends.

    Raises:
        OutputFileError: As `atomic_file`.
    """
    target = Path(path)
    check_writable(target)
    replaced = None if private else _mode_of(target)
    with _writing(target):
        temporary = _new_beside(target, _PRIVATE if private else replaced or _ORDINARY, suffix)
    try:
        yield temporary
        with _writing(target):
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            if replaced is not None:
                temporary.chmod(replaced)
            if overwrite:
                os.replace(temporary, target)
            else:
                _place_new(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse early, before minutes of work, a `path` that could never be written.

    Raises:
        OutputFileError: The folder does not exist or is read-only, `path` is a folder, or its
            name has control characters.
    """
    target = Path(path)
    if character := control_character(target.name):
        raise OutputFileError(
            f"cannot write {escaped_line(target)}: its name has the control character "
            f"{character}; name another file"
        )
    if target.is_dir():
        raise OutputFileError(f"cannot write {target}: it is a folder; name a file in it")
    folder = target.parent
    if not folder.is_dir():
        if folder.exists():
            raise OutputFileError(f"cannot write {target}: {folder} is a file, not a folder")
        raise OutputFileError(f"cannot write {target}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise OutputFileError(f"cannot write {target}: the folder {folder} is read-only")


def check_new(path: str | os.PathLike[str]) -> None:
    """Refuse early a `path` that must not be replaced.

    Raises:
        OutputExistsError: There is something of that name.
    """
    if os.path.lexists(path):
        raise _exists(path)


def private_folder(folder: Path, pattern: str) -> Path:
    """Make a folder that only the user may look into, where it is not there.

    One that is there is made so, with the files in it: an earlier version, or the user's umask,
    may have left them open to others. Behind a link the folder may hold other things, too; there
    only the files change.

    Args:
        folder: One of ours, of which nothing but our own files is.
        pattern: Of the names of those.

    Returns:
        The folder.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "nt":
        for path in (folder, *folder.glob(pattern)):
            with contextlib.suppress(OSError):  # it belongs to somebody else, or is gone
                mode = path.lstat().st_mode
                if mode & 0o077 and not stat.S_ISLNK(mode):
                    path.chmod(stat.S_IMODE(mode) & 0o700)
    return folder


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """What the system says is wrong, with the file's name."""
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise OutputFileError(f"cannot write {target}: {reason}") from error


def _exists(path: str | os.PathLike[str]) -> OutputExistsError:
    return OutputExistsError(
        f"cannot write {path}: it exists; name another file, or allow to replace it (--overwrite)"
    )


def _new_beside(target: Path, mode: int, suffix: str) -> Path:
    """An empty file that at no moment more people can read than in the end."""
    while True:
        name = f".{target.name[:_KEPT_CHARS]}.{secrets.token_hex(4)}{suffix}"
        path = target.with_name(name)
        with contextlib.suppress(FileExistsError):
            # The system takes the umask off: to ask for it would be to set it, for all threads.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode | _PRIVATE))
            return path


def _mode_of(target: Path) -> int | None:
    """The permissions of a file that is there."""
    try:
        return stat.S_IMODE(target.stat().st_mode) & 0o777
    except OSError:
        return None


def _place_new(temporary: Path, target: Path) -> None:
    """Give a file its name unless that is taken, in one step."""
    try:
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
    except FileExistsError:
        raise _exists(target) from None
