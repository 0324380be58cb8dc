"""Makes the engine, for the whole package; tests put another one here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..native.progress_event import EventCallback
from ..options.context import ContextOptions

if TYPE_CHECKING:
    from .stable_diffusion import StableDiffusion

__all__ = ["load_engine"]


def load_engine(context: ContextOptions, on_event: EventCallback | None = None) -> StableDiffusion:
    """Load a model.

    Args:
        context: Its files, and how it computes.
        on_event: Told how far loading is.

    Raises:
        ValueError, PulidError: As `StableDiffusion`.
    """
    from .stable_diffusion import StableDiffusion

    return StableDiffusion(**context.to_engine_kwargs(), on_event=on_event)
