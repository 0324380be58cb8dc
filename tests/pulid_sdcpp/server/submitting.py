"""Jobs given to a service as an endpoint does."""

from __future__ import annotations

from typing import Any

from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.service.service import PictureService

__all__ = ["made", "submitted"]


async def submitted(
    service: PictureService, prompt: str = "plain", owner: str = "local", **body: Any
) -> Job:
    """A job that was accepted."""
    files = RequestFiles(service.limits)
    request = await service.read(body_fields({"prompt": prompt, "seed": 7, **body}), files)
    return await service.submit(request, files.contents, owner=owner)


async def made(
    service: PictureService, prompt: str = "plain", owner: str = "local", **body: Any
) -> Job:
    """A job that was completed."""
    job = await service.finished((await submitted(service, prompt, owner, **body)).id)
    assert job.status == "completed", job.error
    return job
