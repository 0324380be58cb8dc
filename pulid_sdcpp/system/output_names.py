"""Names of files that are written: fit for every system, and none that is taken or read from."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import OutputExistsError, OutputFileError
from ..terminal_text import control_character

__all__ = [
    "MAX_NAME_BYTES",
    "check_is_no_input",
    "folded",
    "is_device_name",
    "save_under_free_name",
    "unfit_name",
]

MAX_NAME_BYTES = 200
"""Of a file or folder: 255 on every file system, and temporary files add a few."""

# Windows, "Naming Files, Paths, and Namespaces": with any suffix, too, and superscript digits.
_DEVICES = re.compile(
    r"(con|conin\$|conout\$|prn|aux|nul|(com|lpt)[\d\u00b9\u00b2\u00b3])(\.|$)", re.IGNORECASE
)
_NOT_ON_WINDOWS = re.compile(r'[<>:"\\|?*]')
_MOST_TRIED = 10_000


def is_device_name(part: str) -> bool:
    """Whether Windows takes a file of this name for a device, such as con.png."""
    return _DEVICES.match(part) is not None


def unfit_name(part: str) -> str:
    """Why this cannot be the name of a file or folder on every system; "" if it can."""
    if part in ("", ".", "..") or part.startswith("."):
        return "a part of it is empty or begins with a dot"
    if part != part.strip() or part.endswith("."):
        return "a part of it begins or ends with a space, or ends with a dot"
    if character := control_character(part):
        return f"it has the control character {character}"
    if _NOT_ON_WINDOWS.search(part) or is_device_name(part):
        return "Windows has no such names"
    if len(part.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes"
    return ""


def folded(name: str) -> str:
    """What two names have in common that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def check_is_no_input(
    output: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str] | None]
) -> None:
    """Refuse to write a file that is read: it would be lost even where files may be replaced.

    Raises:
        ValueError: It is one of them, whatever path leads to it.
    """
    for path in inputs if os.path.exists(output) else ():
        if path is not None and os.path.exists(path) and os.path.samefile(output, path):
            raise ValueError(f"the output {output} is a file that is read; name another file")


def save_under_free_name(path: Path, save: Callable[[Path], None]) -> Path:
    """Save as `path`, or as NAME-2, NAME-3, ... where that is taken.

    Args:
        save: Writes a file; raises OutputExistsError where there is one.

    Returns:
        The path that was free.

    Raises:
        OutputFileError: Thousands are taken.
    """
    candidate = path
    for number in range(2, _MOST_TRIED):
        if not os.path.lexists(candidate):
            with contextlib.suppress(OutputExistsError):  # another process was faster
                save(candidate)
                return candidate
        candidate = path.with_stem(f"{path.stem}-{number}")
    raise OutputFileError(f"cannot write {path}: it and {_MOST_TRIED} more names are taken")
