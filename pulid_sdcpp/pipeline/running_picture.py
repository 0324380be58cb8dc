"""A picture while it is made: it may be cancelled, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..engine.interface import Preview
from ..errors import GenerationCancelled
from ..native.progress_event import EventCallback, ProgressEvent
from ..options.context import ContextOptions
from ..request.picture_request import check_preview
from .callbacks import called_back

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PreviewCallback", "RunningPicture", "preview_of"]

PreviewCallback = Callable[["Image", int], object]


class RunningPicture:
    """A running `generate`.

    Attributes:
        cancelled: Set from any thread.
    """

    def __init__(self) -> None:
        self.cancelled = False

    def telling(self, tell: EventCallback) -> EventCallback:
        """What to tell of stages and steps: it goes no further when it was cancelled."""

        def told(event: ProgressEvent) -> None:
            self.check()
            tell(event)

        return told

    def check(self) -> None:
        """Go no further when it was cancelled.

        Raises:
            GenerationCancelled: It was.
        """
        if self.cancelled:
            raise GenerationCancelled("cancelled")


def preview_of(
    context: ContextOptions,
    on_preview: PreviewCallback | None,
    method: str,
    interval: int,
    noisy: bool = False,
) -> Preview | None:
    """What looks at a picture, if somebody does: see `PulidPipeline.generate`.

    Raises:
        ValueError: A part is not loaded that the preview needs, or the interval is out of range.
    """
    if on_preview is None:
        return None
    check_preview(context, method, interval)
    return Preview(called_back(on_preview), method, interval, noisy)
