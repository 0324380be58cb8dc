"""Files that are checked and then loaded by native code, which opens them anew."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from ..errors import GenerationCancelled, GenerationError, ModelFileError
from ..system.file_hash import file_stamp

__all__ = ["unchanged_files"]


@contextlib.contextmanager
def unchanged_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[None]:
    """In the block, files are checked and loaded: refuse at its end what was not loaded as checked.

    An error for which a change of a file may be the reason becomes that.

    Raises:
        ModelFileError: A file was replaced, written to or removed meanwhile.
    """
    before = {os.fspath(path): file_stamp(path) for path in paths}
    try:
        yield
    except GenerationCancelled:
        raise
    except (ValueError, ModelFileError, GenerationError) as error:
        _check(before, error)
        raise
    _check(before, None)


def _check(before: dict[str, tuple[int, ...]], cause: Exception | None) -> None:
    for path, stamp in before.items():
        if (now := file_stamp(path)) != stamp:
            what = "replaced or written to" if now else "removed"
            raise ModelFileError(
                f"{path}: it was {what} while the model was loaded; load it again"
            ) from cause
