"""Answers of OpenAI's endpoints: the pictures of a job, and the models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..jobs.jobs import Job

__all__ = [
    "DeliveredPicture",
    "images_answer",
    "model_answer",
    "models_answer",
    "no_usage",
    "pulid_of",
    "size_of",
]


@dataclass(frozen=True)
class DeliveredPicture:
    """A picture as it is answered; one of the last two is there.

    Attributes:
        seed: What it was made with.
        width, height: Pixels.
        b64_json: The file, in base64.
        url: Its address.
    """

    seed: int
    width: int
    height: int
    b64_json: str = ""
    url: str = ""


def images_answer(
    job: Job,
    pictures: Sequence[DeliveredPicture],
    *,
    output_format: str,
    people: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The answer of `images/generations` and `images/edits`.

    Args:
        job: The one that is finished.
        pictures: Of the job, in order.
        output_format: The files' format.
        people: Who is in them, as for `pulid_of`.
    """
    answer: dict[str, Any] = {
        "created": int(job.completed or job.created),
        "data": [_picture(one) for one in pictures],
        "background": "opaque",
        "output_format": output_format,
        "usage": no_usage(),
        "pulid": pulid_of(job, people),
    }
    if pictures:
        answer["size"] = size_of(pictures[0].width, pictures[0].height)
    return answer


def pulid_of(job: Job, people: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What an answer says beside what OpenAI's have.

    Args:
        job: What the pictures are of.
        people: The `id` of each one in the pictures, and the `name`, where it has one.
    """
    return {
        "job_id": job.id,
        "seeds": list(job.seeds),
        "warnings": [dict(one) for one in job.warnings],
        "people": [dict(one) for one in people],
    }


def size_of(width: int, height: int) -> str:
    """A size as OpenAI writes it, "1024x768"."""
    return f"{width}x{height}"


def no_usage() -> dict[str, Any]:
    """Nothing is counted and nothing costs; some clients want the numbers to be there."""
    nothing = {"image_tokens": 0, "text_tokens": 0}
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": nothing,
    }


def model_answer(name: str, created: float) -> dict[str, Any]:
    """The answer of `models/{id}`.

    Args:
        name: The preset's.
        created: Unix seconds.
    """
    return {
        "id": name,
        "object": "model",
        "created": int(created),
        "owned_by": "pulid-sdcpp",
    }


def models_answer(names: Iterable[str], created: float) -> dict[str, Any]:
    """The answer of `models`; arguments as for `model_answer`."""
    return {"object": "list", "data": [model_answer(name, created) for name in names]}


def _picture(picture: DeliveredPicture) -> dict[str, Any]:
    file = {"b64_json": picture.b64_json} if picture.b64_json else {"url": picture.url}
    return {**file, "seed": picture.seed, "revised_prompt": None}
