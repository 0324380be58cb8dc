"""Which family of models an engine's files are of, told by their headers."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from ..errors import ModelFileError
from ..system.file_hash import file_stamp
from .description import describe_file
from .sdxl_checks import is_sdxl_folder

__all__ = ["is_sdxl_model"]


def is_sdxl_model(files: Mapping[str, Any]) -> bool:
    """Whether the model is SDXL.

    Args:
        files: The binding's keyword arguments, or the fields of `ContextOptions`, of which
            `diffusion_model_path` and `model_path` are looked at.

    Returns:
        False also for a file that cannot be read, which loading refuses, and without any.
    """
    alone = str(files.get("diffusion_model_path") or "")
    full = str(files.get("model_path") or "")
    try:
        if not alone and os.path.isdir(full):
            return is_sdxl_folder(full)
        path = alone or full
        return bool(path) and _kind_of_file(path, file_stamp(path)) == "sdxl"
    except (ModelFileError, OSError):
        return False


@functools.lru_cache(maxsize=4)
def _kind_of_file(path: str, stamp: tuple[int, ...]) -> str:
    """`stamp`: of the file, so that another under its name is read anew."""
    return describe_file(path).kind
