"""Upscaling models (ESRGAN) by their names in a folder, as `--hires-upscaler` gives them.

Source: stable-diffusion.cpp, examples/common: names have no suffix, and folders within are not
searched.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ..errors import ModelFileError, named, option_error
from ..options.checks import FilePath
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..options.second_pass import HIRES_UPSCALERS, is_upscaling_model
from ..terminal_text import shown
from .engine_checks import check_upscaler

__all__ = ["check_upscalers", "second_pass_upscaler", "upscaler_names"]

_SUFFIXES = (".gguf", ".safetensors", ".pt", ".pth")


def second_pass_upscaler(generation: GenerationOptions, folder: FilePath | None) -> Path | None:
    """The file of the second pass's upscaling model, checked; None if it needs none.

    Args:
        folder: `ContextOptions.hires_upscalers_dir`.

    Raises:
        ValueError: There is no such model.
        ModelFileError: The file is missing, damaged, or another model.
    """
    if not generation.hires or not is_upscaling_model(generation.hires_upscaler):
        return None
    path = _find(generation.hires_upscaler, Path(folder or "."))
    check_upscaler(str(path))
    return path


def check_upscalers(generation: GenerationOptions, context: ContextOptions) -> None:
    """Refuse upscaling models that the engine cannot use, before anything is made.

    Raises:
        ValueError, ModelFileError: As `second_pass_upscaler`.
    """
    second_pass_upscaler(generation, context.hires_upscalers_dir)
    if context.upscaler_path is not None and generation.upscale_repeats:
        check_upscaler(os.fspath(context.upscaler_path))


def _find(name: str, folder: Path) -> Path:
    path = folder / name
    candidates = [folder / f"{name}{suffix}" for suffix in _SUFFIXES] if path.name == name else []
    for candidate in (*candidates, path):
        if candidate.is_file():
            return candidate
    if path.suffix in _SUFFIXES:
        raise ModelFileError(f"{path}: there is no such file")
    known = [*HIRES_UPSCALERS, *upscaler_names(folder)[:20]]
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise option_error(
        f"{named('hires_upscaler')} is {shown(name)}, which is no model in {folder} "
        f"({named('hires_upscalers_dir')}) and none of the engine's own; {meant}"
    )


def upscaler_names(folder: FilePath) -> list[str]:
    """Names of the files in a folder that may be upscaling models; none is opened."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [Path(name).stem for name in names if Path(name).suffix in _SUFFIXES]
