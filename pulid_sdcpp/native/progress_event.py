"""What is told of a running generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["STAGES", "EventCallback", "ProgressEvent", "Stage"]

Stage = Literal["load", "extract", "fold", "encode", "denoise", "decode", "hash"]
STAGES: tuple[Stage, ...] = ("load", "extract", "fold", "encode", "denoise", "decode", "hash")
"""In the order in which they are passed; those without work are left out."""


@dataclass(frozen=True)
class ProgressEvent:
    """A stage begins (step 0), or a step of it is done.

    Attributes:
        stage: "load" the models, "extract" an identity from photos, "fold" it into PuLID's
            layers, "encode" the prompt and the pictures to start from, "denoise", "decode";
            "hash" the model files, when that takes longer than a pipeline's first picture.
        step: Steps that are done; 0 when the stage begins.
        steps: Of how many; 0 when that is not known.
        step_time_s: Seconds per step; 0 when not known.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    step_time_s: float = 0.0


EventCallback = Callable[[ProgressEvent], object]
