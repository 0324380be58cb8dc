"""The events of a job, or of all of an owner's jobs, for a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..bodies.sse import KEEP_ALIVE_S
from ..jobs.jobs import FINISHED, Job
from ..service.service import PictureService
from .job_view import job_view

__all__ = ["events_of_job", "events_of_owner"]

_Event = tuple[str, Mapping[str, Any]] | None


async def events_of_job(service: PictureService, job: Job) -> AsyncIterator[_Event]:
    """What happens to a job until it ends; first how it is now, so nobody needs what was before.

    Yields:
        A name and JSON; None: nothing happened for a while.
    """
    async with service.hub.subscribe(job=job.id) as events:
        now = service.book.get(job.id)
        if now is None:  # it ended and was removed meanwhile: nothing will happen to it
            return
        yield "snapshot", job_view(service, now)
        if now.is_finished:
            yield now.status, {"error": job_view(service, now)["error"]}
            return
        while True:
            event = await events.next(KEEP_ALIVE_S)
            if event is None:
                yield None
                continue
            yield event.name, event.data
            if event.name in FINISHED:
                return


async def events_of_owner(service: PictureService, owner: str | None) -> AsyncIterator[_Event]:
    """What happens to all jobs of an owner (None: of everybody); first those that have not ended.

    Yields:
        As `events_of_job`; each event has the id of its `job`, "" where it is about none.
    """
    async with service.hub.subscribe(owner=owner) as events:
        jobs = [job for job in service.book.newest(owner, limit=None) if not job.is_finished]
        yield "snapshot", {"jobs": [job_view(service, job) for job in jobs]}
        while True:
            event = await events.next(KEEP_ALIVE_S)
            yield None if event is None else (event.name, {"job": event.job, **event.data})
