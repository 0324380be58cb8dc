"""A picture while it is made: it may be cancelled, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import GenerationCancelled
from ..native.progress_event import EventCallback, ProgressEvent

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PreviewCallback", "RunningPicture"]

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
