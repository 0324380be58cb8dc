"""What is told of a running generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["STAGES", "EventCallback", "ProgressEvent", "Stage"]

Stage = Literal[
    "load", "extract", "fold", "encode", "denoise", "hires", "decode", "upscale", "hash"
]
STAGES: tuple[Stage, ...] = (
    *("load", "extract", "fold", "encode", "denoise", "hires", "decode", "upscale", "hash"),
)
"""In the order in which they are passed; those without work are left out."""


@dataclass(frozen=True)
class ProgressEvent:
    """The beginning of a stage (step 0), or a finished step of it.

    Attributes:
        stage: "load" the models, "extract" an identity from photos, "fold" it into PuLID's layers,
            "encode" the prompt and the start pictures, "denoise", the second pass ("hires"),
            "decode", "upscale" the finished picture; "hash" the model files, if that takes longer
            than a pipeline's first picture.
        step: Number of finished steps; 0 when the stage begins.
        steps: Number of all steps; 0 if not known.
        step_time_s: Seconds per step; 0 if not known.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    step_time_s: float = 0.0


EventCallback = Callable[[ProgressEvent], object]
