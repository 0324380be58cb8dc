"""An engine that computes nothing, for tests of what is around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from pulid_sdcpp.engine.interface import Preview
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.native.progress_event import EventCallback, ProgressEvent
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.identity_use import as_identity
from pulid_sdcpp.people.person import Person

__all__ = ["Call", "FakeEngine"]


@dataclass(frozen=True, eq=False)
class Call:
    """What `generate` was called with."""

    picture: GenerationOptions
    people: tuple[Person, ...]
    cfg_start_step: int | None
    preview: Preview | None
    on_event: EventCallback | None

    @property
    def person(self) -> Person:
        """The only one."""
        (person,) = self.people
        return person

    @property
    def identity(self) -> Identity:
        """The only person's."""
        return as_identity(self.person.identity)


class FakeEngine:
    """Remembers how it was called; makes plain pictures, darker with an identity.

    Args:
        failure: Raised by `generate` after the first step.
    """

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.context: ContextOptions | None = None
        self.calls: list[Call] = []
        self.closed = 0

    def create(
        self, context: ContextOptions, *, on_event: EventCallback | None = None
    ) -> FakeEngine:
        if on_event is not None:
            on_event(ProgressEvent("load"))
        self.context = context
        return self

    def generate(
        self,
        picture: GenerationOptions,
        people: Sequence[Person] = (),
        *,
        cfg_start_step: int | None = None,
        preview: Preview | None = None,
        on_event: EventCallback | None = None,
    ) -> list[Image.Image]:
        call = Call(picture, tuple(people), cfg_start_step, preview, on_event)
        self.calls.append(call)
        for step in range(picture.steps + 1):
            self.step(call, step)
        return self.draw(call)

    def step(self, call: Call, step: int) -> None:
        """Tell of a step; 0: the first begins."""
        steps = call.picture.steps
        if call.on_event is not None:
            timing = (steps, 0.5) if step else (0, 0.0)
            call.on_event(ProgressEvent("denoise", step, *timing))
        preview = call.preview
        if step and preview is not None and step % preview.interval == 0:
            preview.show(Image.new("RGB", (2, 2)), step)
        if step == 1 and self.failure is not None:
            raise self.failure

    def draw(self, call: Call) -> list[Image.Image]:
        shade = 100 if call.people else 200
        size = (call.picture.width, call.picture.height)
        return [
            Image.new("RGBA", size, (shade, index, 0, 255))
            for index in range(call.picture.batch_count)
        ]

    def default_scheduler(self, sampling_method: str = "euler") -> str:
        return "flux"

    def cancel(self) -> None:
        """Nothing to stop: whoever drives it asks before each step."""

    def close(self) -> None:
        self.closed += 1
