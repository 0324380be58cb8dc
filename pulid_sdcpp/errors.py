"""Every error this project raises on purpose.

    PulidError
    ├── ModelFileError          a weights or model file that cannot be used
    │   └── ModelMismatchError  two files that do not belong together
    ├── DownloadError           a model file that cannot be fetched
    ├── IdentityFileError       an identity file (.pulidembd) that cannot be used
    ├── BatchFileError          a file of jobs that cannot be used
    ├── ImageFileError          a photo or picture that cannot be read
    ├── FaceNotFoundError       a photo without a usable face
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
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BatchFileError",
    "DeviceError",
    "DownloadError",
    "FaceNotFoundError",
    "GenerationCancelled",
    "GenerationError",
    "IdentityFileError",
    "ImageFileError",
    "MemoryPlanError",
    "MissingDependencyError",
    "ModelFileError",
    "ModelMismatchError",
    "NativeLibraryError",
    "OutputExistsError",
    "OutputFileError",
    "PulidError",
]


class PulidError(Exception):
    """Base of every error raised on purpose; its text is one line fit to show a user."""


class ModelFileError(PulidError):
    """A weights or model file is missing, damaged, or of the wrong kind."""


class ModelMismatchError(ModelFileError):
    """Two files are each valid but do not belong together (depth, width, version)."""


class DownloadError(PulidError):
    """A model file could not be fetched; nothing half-downloaded is used."""


class IdentityFileError(PulidError):
    """An identity file is missing, damaged, or not an identity."""


class BatchFileError(PulidError):
    """A file of jobs for `batch` is missing, or something in it is wrong."""


class ImageFileError(PulidError):
    """A photo or picture is missing, damaged, or in a form that cannot be used."""


class FaceNotFoundError(PulidError):
    """A photo in which no face was found, or not the one asked for."""


class MissingDependencyError(PulidError):
    """An optional package or a system library is not installed."""


class NativeLibraryError(PulidError):
    """The compiled engine is absent, cannot be loaded, or is of another version."""


class DeviceError(PulidError):
    """A compute device was named that does not exist or cannot be used."""


class MemoryPlanError(PulidError):
    """A generation cannot fit the memory it may use; says what would."""


class OutputFileError(PulidError):
    """A result could not be written; nothing was left behind."""


class OutputExistsError(OutputFileError):
    """A file has the name of a result already; it was kept."""


class GenerationError(PulidError):
    """The engine failed.

    Args:
        message: What failed and what to do about it, one line.
        log_lines: The engine's last warnings and errors, oldest first.
        engine_is_good: Whether only this picture went wrong, and the engine makes others.
    """

    def __init__(
        self, message: str, log_lines: Sequence[str] = (), *, engine_is_good: bool = False
    ) -> None:
        super().__init__(message)
        self.log_lines = tuple(log_lines)
        self.engine_is_good = engine_is_good


class GenerationCancelled(GenerationError):
    """Generation stopped because the caller asked for it; the engine stays usable."""
