"""A job as clients see it: sd-server's fields, and ours beside them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

from ..jobs.job_ids import picture_id
from ..jobs.jobs import Job, MadePicture
from ..request.delivery import DeliveryOptions
from ..service.engine_events import picture_path_of
from ..service.service import PictureService

__all__ = ["Images", "job_view", "progress_view"]

Images = Literal["b64", "url", "none"]
"""How pictures are in the answer."""


def job_view(
    service: PictureService,
    job: Job,
    *,
    images: Images = "url",
    delivered: Callable[[Job, MadePicture], bytes] | None = None,
    url: Callable[[str], str] = picture_path_of,
) -> dict[str, Any]:
    """A job as JSON. It reads pictures for "b64", so call it in a thread then.

    Args:
        service: The server.
        job: The job.
        images: How its pictures are in it.
        delivered: Gives a picture's file as it is delivered, for "b64".
        url: Gives a picture's address by its id.
    """
    view: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "created": int(job.created),
        "started": _second(job.started),
        "completed": _second(job.completed),
        "queue_position": service.queue.position(job.id) if job.status == "queued" else 0,
        "result": _result(job, images, delivered, url),
        "error": None,
        "progress": progress_view(service, job),
        "preview": _preview(service, job) if images == "b64" else None,
        "cancel_requested": job.cancel_requested,
        "attempts": job.attempts,
        "title": job.title,
        "seeds": list(job.seeds),
        "warnings": [dict(warning) for warning in job.warnings],
    }
    if job.error is not None:
        view["error"] = {
            "code": job.error.code,
            "message": job.error.message,
            "param": job.error.param,
        }
    return view


def progress_view(service: PictureService, job: Job) -> dict[str, Any] | None:
    """How far a job is; None: it does not run."""
    progress = service.hub.progress(job.id)
    return None if progress is None or job.is_finished else asdict(progress)


def _second(time_s: float | None) -> int | None:
    return None if time_s is None else int(time_s)


def _preview(service: PictureService, job: Job) -> dict[str, Any] | None:
    preview = service.hub.preview(job.id)
    if preview is None or job.is_finished:
        return None
    return {
        "step": preview.step,
        "total_steps": preview.steps,
        "picture": preview.picture,
        "b64_json": base64.b64encode(preview.png).decode("ascii"),
    }


def _result(
    job: Job,
    images: Images,
    delivered: Callable[[Job, MadePicture], bytes] | None,
    url: Callable[[str], str],
) -> dict[str, Any] | None:
    if job.kind != "img_gen":
        return dict(job.result) if job.is_finished else None
    if not job.pictures:
        return None
    found = []
    for picture in job.pictures:
        name = picture_id(job.id, picture.index)
        shown: dict[str, Any] = {
            "index": picture.index,
            "seed": picture.seed,
            "id": name,
            "url": url(name),
            "width": picture.width,
            "height": picture.height,
        }
        if images == "b64" and delivered is not None:
            shown["b64_json"] = base64.b64encode(delivered(job, picture)).decode("ascii")
        found.append(shown)
    output_format = job.request.get("output_format", DeliveryOptions.output_format)
    return {"output_format": output_format, "images": found}
