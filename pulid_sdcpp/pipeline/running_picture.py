"""A picture while it is made: it may be cancelled, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import GenerationCancelled
from .callbacks import called_back

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PreviewCallback", "RunningPicture", "preview_callback"]

PreviewCallback = Callable[["Image", int], object]


class RunningPicture:
    """A running `generate`.

    Attributes:
        cancelled: Set from any thread.
    """

    def __init__(self) -> None:
        self.cancelled = False

    def check(self) -> None:
        """Go no further when it was cancelled.

        Raises:
            GenerationCancelled: It was.
        """
        if self.cancelled:
            raise GenerationCancelled("cancelled")


def preview_callback(on_preview: PreviewCallback) -> Callable[..., None]:
    """The binding's preview callback, which the engine calls at every evaluation.

    Args:
        on_preview: Called with an RGB picture and the step, once per step.
    """
    tell = called_back(on_preview)
    shown = 0

    def show(step: int, frames: Sequence[Image], is_noisy: object) -> None:
        nonlocal shown
        step = abs(step)  # negative in the first evaluation of two that make a step
        if step != shown:
            shown = step
            tell(frames[0].convert("RGB"), step)

    return show
