"""The events of OpenAI's streams, and which previews of a picture become such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bodies.sse import sse_event
from ..errors import ApiError, body_of
from ..jobs.jobs import Job
from .answer import DeliveredPicture, no_usage, pulid_of, size_of

__all__ = ["EDIT_EVENTS", "GENERATION_EVENTS", "OpenaiEvents", "PartialPictures", "partial_steps",
           "preview_interval"]  # fmt: skip

GENERATION_EVENTS = "image_generation"
EDIT_EVENTS = "image_edit"
"""What the names of a stream's events begin with."""


def partial_steps(steps: int, partial_images: int) -> tuple[int, ...]:
    """The steps after which unfinished pictures are sent: they divide the time evenly.

    Args:
        steps: Of the picture, from 1.
        partial_images: How many are wanted; fewer come where there are not as many steps.
    """
    parts = partial_images + 1
    due = (-(-number * steps // parts) for number in range(1, parts))  # rounded up
    return tuple(dict.fromkeys(step for step in due if step < steps))


def preview_interval(steps: int, partial_images: int) -> int:
    """Steps from one preview to the next, so that there is one for each of `partial_steps`.

    The engine shows none too soon after another: one that nobody wants would cost the next.

    Args:
        steps: Of the picture, from 1.
        partial_images: How many are wanted, from 1.
    """
    parts = partial_images + 1
    wide = -(-steps // parts)
    return wide if wide * partial_images < steps else max(steps // parts, 1)


class PartialPictures:
    """Chooses the previews that are sent.

    Previews do not come after every step: the first one after a step that is due counts. A picture
    that is begun anew, as the engine died, sends none of those again.

    Args:
        partial_images: How many of each picture, at most.
    """

    def __init__(self, partial_images: int) -> None:
        self._partial_images = partial_images
        self._done: dict[int, int] = {}
        self._sent: dict[int, int] = {}

    def index_of(self, picture: int, step: int, steps: int) -> int | None:
        """The index of a preview among those of its picture that are sent; None: it is not.

        Args:
            picture: Which one, from 0.
            step, steps: After which step of how many it shows the picture.
        """
        due = sum(one <= step for one in partial_steps(steps, self._partial_images))
        if due <= self._done.get(picture, 0):
            return None
        self._done[picture] = due
        index = self._sent.get(picture, 0)
        self._sent[picture] = index + 1
        return index


class OpenaiEvents:
    """Writes the events of one stream.

    Args:
        kind: GENERATION_EVENTS or EDIT_EVENTS.
        output_format: The pictures' format, also of the unfinished ones.
    """

    def __init__(self, kind: str, output_format: str) -> None:
        self._kind = kind
        self._output_format = output_format

    def partial(self, index: int, b64_json: str, size_px: tuple[int, int], now: float) -> bytes:
        """An unfinished picture.

        Args:
            index: Its place among those of its picture, from 0.
            b64_json: The file.
            size_px: Width and height.
            now: Unix seconds.
        """
        data = self._picture(b64_json, size_px, now)
        return self._event("partial_image", {**data, "partial_image_index": index})

    def completed(
        self,
        picture: DeliveredPicture,
        job: Job,
        people: Sequence[Mapping[str, Any]],
        now: float,
    ) -> bytes:
        """A finished picture; arguments as for `images_answer` and `partial`."""
        data = self._picture(picture.b64_json, (picture.width, picture.height), now)
        more = {"usage": no_usage(), "seed": picture.seed, "pulid": pulid_of(job, people)}
        return self._event("completed", {**data, **more})

    def failed(self, error: ApiError) -> bytes:
        """The stream's end where it failed, of which OpenAI's library makes an APIError."""
        return sse_event("error", body_of(error, "openai"))

    def _event(self, name: str, data: Mapping[str, Any]) -> bytes:
        full_name = f"{self._kind}.{name}"
        return sse_event(full_name, {"type": full_name, **data})

    def _picture(self, b64_json: str, size_px: tuple[int, int], now: float) -> dict[str, Any]:
        return {
            "b64_json": b64_json,
            "created_at": int(now),
            "size": size_of(*size_px),
            "quality": "auto",
            "background": "opaque",
            "output_format": self._output_format,
        }
