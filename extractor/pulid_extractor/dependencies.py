"""Imports of the optional extras that can fail, with errors that say what to install."""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType
from typing import Any

from pulid_sdcpp.errors import MissingDependencyError
from pulid_sdcpp.system.install_commands import install_extra_command

__all__ = [
    "load_cv2",
    "load_onnxruntime",
    "load_retinaface_class",
    "require_module",
]

_PURPOSES = {
    "extract": "extraction",
    "photos": "reading faces without PyTorch",
    "reference": 'the aligner "retinaface"',
}
APT_FOR_OPENCV = "apt-get install libgl1 libglib2.0-0 libxcb1"


def require_module(name: str, extra: str = "extract") -> Any:
    """Import a module of an extra.

    Raises:
        MissingDependencyError: It, something it needs, or a system library is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the Python package {(error.name or name).partition('.')[0]} is not installed; "
            f"{_PURPOSES[extra]} needs the extra [{extra}]: {install_extra_command(extra)}"
        ) from error
    except ImportError as error:
        library = _missing_library(error)
        if library is None:
            raise MissingDependencyError(f"{name} cannot be imported: {error}") from error
        raise MissingDependencyError(
            f"{name} needs the system library {library}, which is not installed; on Debian or "
            f"Ubuntu: {APT_FOR_OPENCV}"
        ) from error


def load_cv2() -> Any:
    """OpenCV, which on a bare Linux lacks libGL.

    Raises:
        MissingDependencyError: See `require_module`.
    """
    return require_module("cv2")


def load_onnxruntime() -> ModuleType:
    """ONNX Runtime, kept from keeping records of its use.

    Since 1.31 it writes a device number and an events database to the user's home when it is
    imported, unless this variable says otherwise.

    Raises:
        MissingDependencyError: See `require_module`.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return require_module("onnxruntime", "photos")


def load_retinaface_class() -> Any:
    """facexlib's RetinaFace, from the extra [reference].

    Raises:
        MissingDependencyError: It is not installed, or its torchvision does not fit torch.
    """
    load_cv2()
    try:
        with warnings.catch_warnings():
            # What facexlib imports beside it (filterpy, numba) warns of deprecations.
            warnings.simplefilter("ignore")
            return require_module("facexlib.detection.retinaface", "reference").RetinaFace
    except RuntimeError as error:
        # "operator torchvision::nms does not exist": torchvision beside CPU-only torch.
        raise MissingDependencyError(
            f"torchvision does not fit the installed torch ({error}); the aligner "
            '"retinaface" needs both from the same index: pip install --force-reinstall torch '
            "torchvision"
        ) from error


def _missing_library(error: ImportError) -> str | None:
    """`libGL.so.1` out of the dynamic loader's "libGL.so.1: cannot open shared object file"."""
    library, separator, _ = str(error).partition(": cannot open shared object file")
    return library.rsplit(" ", 1)[-1] if separator else None
