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
    """Looks at a picture while it is made.

    Args:
        show: Called with the picture so far, RGB, and the step, from 1; on the engine's thread.
            What it raises stops the generation and is raised there.
        method: "proj", "tae" or "vae", as for `PulidFlux.generate`.
        interval: Call it at each so many steps.

    Raises:
        ValueError: An unknown method, or an interval out of range.
    """

    show: Callable[[Image, int], object]
    method: str = "proj"
    interval: int = 1

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
        """Make pictures. The options checked themselves: only what the model lacks is refused.

        Args:
            picture: What to make; its seed is fixed.
            people: Whose faces are in it, how strongly, when and where.
            cfg_start_step: First step with true CFG (`cfg_scale` not 1). None: 1 with people in
                it, as PuLID's own pipeline has it, else 0.
            preview: Looks at it meanwhile.
            on_event: Told of every stage and of its steps; what it raises stops the generation
                and is raised here.

        Returns:
            `batch_count` pictures.

        Raises:
            ValueError: What this model cannot do; a person who would not be in the picture.
            PulidError: A file that cannot be used, or a generation that failed.
        """
        ...

    def default_scheduler(self, sampling_method: str = GenerationOptions.sampling_method) -> str:
        """What the scheduler "default" is with this model."""
        ...

    def cancel(self) -> None:
        """Stop the running generation, which raises GenerationCancelled. From any thread."""
        ...

    def close(self) -> None:
        """Free the model. Closing twice is harmless."""
        ...


class CreateEngine(Protocol):
    """Loads an engine; `factory.load_engine` is one."""

    def __call__(
        self, context: ContextOptions, *, on_event: EventCallback | None = None
    ) -> Engine: ...
