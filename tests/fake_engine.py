"""An engine that computes nothing, for tests of what is around it."""

from __future__ import annotations

from typing import Any

from PIL import Image

from pulid_sdcpp.options import ContextOptions


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

    def create(self, context: ContextOptions) -> FakeEngine:
        self.context = context
        return self

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.closed += 1

    def generate_image(
        self, *, progress_callback: Any = None, **arguments: Any
    ) -> list[Image.Image]:
        self.calls.append(arguments)
        for step in range(arguments["sample_steps"] + 1):
            if progress_callback is not None:
                progress_callback(step, arguments["sample_steps"], 0.5)
            if step == 1 and self.failure is not None:
                raise self.failure
        shade = 100 if arguments["pulid_id_embedding"] is not None else 200
        size = (arguments["width"], arguments["height"])
        return [
            Image.new("RGBA", size, (shade, index, 0, 255))
            for index in range(arguments["batch_count"])
        ]
