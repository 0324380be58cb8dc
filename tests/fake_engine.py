"""An engine that computes nothing, for tests of what is around it."""

from __future__ import annotations

from typing import Any

from PIL import Image

from pulid_sdcpp.native.progress_event import ProgressEvent
from pulid_sdcpp.options.context import ContextOptions


class FakeEngine:
    """Remembers how it was called; makes plain pictures, darker with an identity.

    Args:
        failure: Raised by `generate_image` after the first step.
    """

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.context: ContextOptions | None = None
        self.calls: list[dict[str, Any]] = []
        self.closed = 0

    def create(self, context: ContextOptions, on_event: Any = None) -> FakeEngine:
        if on_event is not None:
            on_event(ProgressEvent("load"))
        self.context = context
        return self

    def default_scheduler(self, sampling_method: str) -> str:
        return "flux"

    def cancel(self) -> None:
        """Nothing to stop: whoever drives it asks before each step."""

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed += 1

    def generate_image(
        self,
        *,
        progress_callback: Any = None,
        on_event: Any = None,
        preview_callback: Any = None,
        preview_method: str = "none",
        preview_interval: int = 1,
        **arguments: Any,
    ) -> list[Image.Image]:
        self.calls.append(arguments)
        steps = arguments["sample_steps"]
        for step in range(steps + 1):
            if progress_callback is not None:
                progress_callback(step, steps, 0.5)
            if on_event is not None:
                on_event(ProgressEvent("denoise", step, steps if step else 0, 0.5 if step else 0.0))
            if step and preview_callback is not None and step % preview_interval == 0:
                preview_callback(step, [Image.new("RGB", (2, 2))], False)
            if step == 1 and self.failure is not None:
                raise self.failure
        has_people = arguments["pulid_id_embedding"] is not None or arguments.get("pulid_people")
        shade = 100 if has_people else 200
        size = (arguments["width"], arguments["height"])
        return [
            Image.new("RGBA", size, (shade, index, 0, 255))
            for index in range(arguments["batch_count"])
        ]
