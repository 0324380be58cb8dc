"""Streams as OpenAI's clients read them."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.openai.answer import DeliveredPicture
from pulid_sdcpp.server.openai.enlarged_preview import enlarged_preview
from pulid_sdcpp.server.openai.events import (
    EDIT_EVENTS,
    GENERATION_EVENTS,
    OpenaiEvents,
    PartialPictures,
    partial_steps,
    preview_interval,
)

JOB = Job("job_1", "img_gen", "local", 100.5, 1, {}, seeds=(7,))
PICTURE = DeliveredPicture(7, 64, 32, b64_json="YQ==")


@pytest.mark.parametrize(
    ("steps", "partial_images", "expected"),
    [
        (20, 0, ()),
        (20, 1, (10,)),
        (20, 2, (7, 14)),
        (20, 3, (5, 10, 15)),
        (28, 2, (10, 19)),
        (4, 3, (1, 2, 3)),
        (4, 2, (2, 3)),
        (2, 3, (1,)),
        (1, 3, ()),
    ],
)
def test_unfinished_pictures_divide_the_time(
    steps: int, partial_images: int, expected: tuple[int, ...]
) -> None:
    assert partial_steps(steps, partial_images) == expected


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 7, 8, 20, 28, 50, 150])
@pytest.mark.parametrize("partial_images", [1, 2, 3])
def test_as_many_previews_as_unfinished_pictures_and_few_more(
    steps: int, partial_images: int
) -> None:
    interval = preview_interval(steps, partial_images)
    chosen = PartialPictures(partial_images)
    shown = range(interval, steps, interval)
    sent = [step for step in shown if chosen.index_of(0, step, steps) is not None]
    assert len(sent) == min(partial_images, steps - 1)
    assert len(shown) <= partial_images + 1 or interval == 1
    due = partial_steps(steps, partial_images)
    assert all(late - step < interval for step, late in zip(due, sent, strict=True))


@pytest.mark.parametrize(
    ("previews", "sent"),
    [
        (range(1, 21), {5: 0, 10: 1, 15: 2}),
        (range(3, 21, 3), {6: 0, 12: 1, 15: 2}),
        ([8, 16], {8: 0, 16: 1}),  # two were due by 16: they show the same, so one is sent
        ([16, 20], {16: 0}),
        ([4, 20], {20: 0}),
    ],
)
def test_the_first_preview_after_a_step_that_is_due(
    previews: range | list[int], sent: dict[int, int]
) -> None:
    chosen = PartialPictures(3)
    found = {step: chosen.index_of(0, step, 20) for step in previews}
    assert {step: index for step, index in found.items() if index is not None} == sent


def test_each_picture_counts_for_itself_and_none_is_sent_again() -> None:
    chosen = PartialPictures(1)
    assert chosen.index_of(0, 10, 20) == 0
    assert chosen.index_of(0, 10, 20) is None  # begun anew after the engine died
    assert chosen.index_of(1, 10, 20) == 0


def data_of(event: bytes) -> tuple[str, dict]:
    name, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.mark.parametrize(
    ("kind", "prefix", "types"),
    [
        (GENERATION_EVENTS, "image_generation", "ImageGen"),
        (EDIT_EVENTS, "image_edit", "ImageEdit"),
    ],
)
def test_events(kind: str, prefix: str, types: str) -> None:
    events = OpenaiEvents(kind, "jpeg")
    name, partial = data_of(events.partial(1, "Yg==", (64, 32), 130.9))
    assert partial == {
        "type": f"{prefix}.partial_image",
        "b64_json": "Yg==",
        "created_at": 130,
        "size": "64x32",
        "quality": "auto",
        "background": "opaque",
        "output_format": "jpeg",
        "partial_image_index": 1,
    }
    assert name == partial["type"]
    name, completed = data_of(events.completed(PICTURE, JOB, [{"id": "0a"}], 131.0))
    assert name == completed["type"] == f"{prefix}.completed"
    assert (completed["b64_json"], completed["seed"]) == ("YQ==", 7)
    assert completed["pulid"]["people"] == [{"id": "0a"}]
    openai = pytest.importorskip("openai.types")
    getattr(openai, f"{types}PartialImageEvent").model_validate(partial)
    getattr(openai, f"{types}CompletedEvent").model_validate(completed)


def test_a_failure_is_an_event_that_ends_the_stream() -> None:
    event = OpenaiEvents(EDIT_EVENTS, "png").failed(ApiError("no_face", "image: no face", "image"))
    assert data_of(event) == (
        "error",
        {
            "error": {
                "message": "image: no face",
                "type": "invalid_request_error",
                "param": "image",
                "code": "no_face",
            }
        },
    )


@pytest.mark.parametrize(("output_format", "name"), [("png", "PNG"), ("jpeg", "JPEG"),
                                                     ("webp", "WEBP")])  # fmt: skip
@pytest.mark.parametrize("scale", [1, 8])
def test_previews_have_the_size_and_format_of_the_picture(
    output_format: str, name: str, scale: int
) -> None:
    small = Image.new("RGB", (64 // scale, 32 // scale), "red")
    small.paste("blue", (0, 0, small.width // 2, small.height))
    png = io.BytesIO()
    small.save(png, "PNG")
    content, size_px = enlarged_preview(png.getvalue(), scale, output_format)
    made = Image.open(io.BytesIO(content))
    assert size_px == (64, 32)
    assert (made.format, made.size, made.mode) == (name, (64, 32), "RGB")
    left, right = made.getpixel((2, 16)), made.getpixel((61, 16))
    assert left[2] > 200 > 50 > left[0]
    assert right[0] > 200 > 50 > right[2]
