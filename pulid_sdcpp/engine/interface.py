"""The one door into an engine: whoever makes pictures asks for them here.

`StableDiffusion` is such an engine; tests have one that computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..native.progress_event import EventCallback
from ..options.checks import check_choice, check_whole
from ..options.context import ContextOptions
from ..options.generation import MAX_STEPS, GenerationOptions
from ..options.preview import PREVIEW_METHODS
from ..people.person import Person

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CreateEngine", "Engine", "Preview"]


@dataclass(frozen=True)
class Preview:
    """Shows a picture while it is made.

    Args:
        show: Called with the unfinished picture, RGB, and the step, from 1; on the engine's thread.
            An exception in it stops the generation and is raised by it.
        method: "proj", "tae" or "vae", as for `PulidPipeline.generate`.
        interval: Call it every this many steps.
        noisy: Show what goes into each step, and not what comes out.

    Raises:
        ValueError: The method is unknown, or the interval is out of range.
    """

    show: Callable[[Image, int], object]
    method: str = "proj"
    interval: int = 1
    noisy: bool = False

    def __post_init__(self) -> None:
        check_choice("preview_method", self.method, PREVIEW_METHODS)
        check_whole("preview_interval", self.interval, 1, MAX_STEPS)


class Engine(Protocol):
    """A loaded model that makes pictures of people."""

    def generate(
        self,
        picture: GenerationOptions,
        people: Sequence[Person] = (),
        *,
        cfg_start_step: int | None = None,
        preview: Preview | None = None,
        on_event: EventCallback | None = None,
    ) -> list[Image]:
        """Make pictures from options that are already checked.

        Args:
            picture: The picture's options, with a fixed seed.
            people: The people in it.
            cfg_start_step: First step with true CFG, if `cfg_scale` is not 1. None: 1 with people,
                as in PuLID's own pipeline, otherwise 0.
            preview: Shows the unfinished picture.
            on_event: Called with a `ProgressEvent` at every stage and step; an exception in it
                stops the generation and is raised here.

        Returns:
            `batch_count` pictures.

        Raises:
            ValueError: This model cannot do it, or a person would not be in the picture.
            PulidError: A file cannot be used, or the generation failed.
        """
        ...

    def default_scheduler(self, sampling_method: str = GenerationOptions.sampling_method) -> str:
        """The scheduler that "default" means for this model."""
        ...

    def cancel(self) -> None:
        """Stop the running generation, which raises GenerationCancelled; from any thread."""
        ...

    def close(self) -> None:
        """Free the model. Closing twice is harmless."""
        ...


class CreateEngine(Protocol):
    """Loads an engine; `factory.load_engine` is one."""

    def __call__(
        self, context: ContextOptions, *, on_event: EventCallback | None = None
    ) -> Engine: ...
