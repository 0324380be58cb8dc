"""The picture that a FLUX.1 Canny or Depth model follows.

Source of names and meanings: stable-diffusion.cpp, examples/common and examples/cli.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from .checks import FilePath
from .facts import option

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ControlOptions"]


@dataclass(frozen=True)
class ControlOptions:
    """The facts of the options of `GenerationOptions` that are about such models."""

    control_image: FilePath | bytes | BinaryIO | Image.Image | None = option(
        None,
        "Edges or depth that the picture follows, for FLUX.1 Canny and Depth models.",
        flags="--control-image",
        memory=True,
        evaluate=False,
    )
    canny: bool = option(
        False,
        "Find the edges in --control-image, for FLUX.1 Canny.",
        flags="--canny",
        text="Canny",
        evaluate=False,
    )
