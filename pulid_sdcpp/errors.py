"""Every error this project raises on purpose.

    PulidError
    ├── ModelFileError          a weights or model file that cannot be used
    │   └── ModelMismatchError  two files that do not belong together
    ├── DownloadError           a model file that cannot be fetched
    │   └── LicenseError        terms that have to be accepted first
    ├── IdentityFileError       an identity file (.pulidembd) that cannot be used
    ├── BatchFileError          a file of jobs that cannot be used
    ├── ImageFileError          a photo or picture that cannot be read
    ├── FaceNotFoundError       a photo without a usable face
    │   └── FaceNotThereError   it has faces, but not the one that was asked for
    ├── MissingDependencyError  an optional package or system library is absent
    ├── NativeLibraryError      the compiled engine cannot be loaded or built
    ├── DeviceError             a compute device that does not exist or cannot be used
    ├── MemoryPlanError         a generation that does not fit the memory it may use
    ├── OutputFileError         a result that cannot be written
    │   └── OutputExistsError   a file is there already, and is kept
    └── GenerationError         the engine failed; carries its last log lines
        └── GenerationCancelled the caller asked for it

A caller's mistake in an argument (a negative size, an unknown sampler) is a
`ValueError`, raised before anything native runs.

Messages name an option as Python and job files do: `init_image`. Where it is written as
`named("init_image")` in a `Message`, a command says its flag instead, by `spelled`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = [
    "BatchFileError",
    "DeviceError",
    "DownloadError",
    "FaceNotFoundError",
    "FaceNotThereError",
    "GenerationCancelled",
    "GenerationError",
    "IdentityFileError",
    "ImageFileError",
    "LicenseError",
    "MemoryPlanError",
    "MissingDependencyError",
    "ModelFileError",
    "ModelMismatchError",
    "NativeLibraryError",
    "OutputExistsError",
    "OutputFileError",
    "PulidError",
]


_NAME = re.compile("\x02(\\w+)\x03")
"""An option's name in a message, between characters that no message has otherwise."""


class Message(str):
    """An error's text, in which options are as `named` gives them; as text it has plain names.

    Attributes:
        marked: The text as it was given.
    """

    marked: str

    def __new__(cls, marked: str) -> Message:
        message = super().__new__(cls, _NAME.sub(r"\1", marked))
        message.marked = marked
        return message


def named(option: str) -> str:
    """The name of an option for a `Message`.

    Args:
        option: The field's name; what follows after its first word is not part of it.
    """
    return re.sub(r"^\w+", "\x02\\g<0>\x03", option)


def option_error(message: str) -> ValueError:
    """What to raise for a value that an option cannot have, or options that do not go together.

    Args:
        message: One line; the options in it as `named` gives them.
    """
    return ValueError(Message(message))


def spelled(error: BaseException | str, spell: Callable[[str], str]) -> str:
    """The message of an error or a note, with the options in it as `spell` writes their names."""
    message = error if isinstance(error, str) else error.args[0] if error.args else ""
    if not isinstance(message, Message):
        return str(error)
    return _NAME.sub(lambda found: spell(found[1]), message.marked)


class PulidError(Exception):
    """Base of all errors of this package; its text is one line that can be shown to a user."""


class ModelFileError(PulidError):
    """A weights or model file is missing, damaged, or of the wrong kind."""


class ModelMismatchError(ModelFileError):
    """Two files are each valid but do not belong together (depth, width, version)."""


class DownloadError(PulidError):
    """A model file could not be downloaded; incomplete files are never used."""


class LicenseError(DownloadError):
    """A model file's terms forbid commercial use, and nobody has accepted them."""


class IdentityFileError(PulidError):
    """An identity file is missing, damaged, or not an identity."""


class BatchFileError(PulidError):
    """A job file for `batch` is missing or has an error."""


class ImageFileError(PulidError):
    """A photo or picture is missing, damaged, or in a format that cannot be used."""


class FaceNotFoundError(PulidError):
    """A photo has no face, or not the one that was asked for."""


class FaceNotThereError(FaceNotFoundError):
    """A photo has faces, but not the one that was asked for; says which it has."""


class MissingDependencyError(PulidError):
    """An optional package or a system library is not installed."""


class NativeLibraryError(PulidError):
    """The compiled engine is missing, cannot be loaded, or has another version."""


class DeviceError(PulidError):
    """A device does not exist or cannot be used."""


class MemoryPlanError(PulidError):
    """A picture does not fit into the memory that may be used; names what would fit."""


class OutputFileError(PulidError):
    """A result could not be written; no partial file is left."""


class OutputExistsError(OutputFileError):
    """A file with the name of a result exists; it was kept."""


class GenerationError(PulidError):
    """The engine failed.

    Args:
        message: What failed and what to do, in one line.
        log_lines: The engine's last warnings and errors, oldest first.
        engine_is_good: Whether only this picture failed, and the engine can make others.
    """

    def __init__(
        self, message: str, log_lines: Sequence[str] = (), *, engine_is_good: bool = False
    ) -> None:
        super().__init__(message)
        self.log_lines = tuple(log_lines)
        self.engine_is_good = engine_is_good


class GenerationCancelled(GenerationError):
    """The caller stopped the generation; the engine stays usable."""
