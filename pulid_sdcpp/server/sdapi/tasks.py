"""The caller's job of A1111's endpoints: which it is, and what its client calls it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ..jobs.jobs import Job

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["SdapiTasks"]

_FAMILY = "sdapi"
_MAX_NAMES = 1000


class SdapiTasks:
    """A1111 has one job at a time, and its clients ask for "the" progress: here it is the caller's.

    Args:
        service: The server.
    """

    def __init__(self, service: PictureService) -> None:
        self._service = service
        self._names: OrderedDict[str, str] = OrderedDict()

    def note(self, job_id: str, name: str) -> None:
        """Remember what a client calls its job; the oldest names are forgotten."""
        if name:
            self._names[job_id] = name
            while len(self._names) > _MAX_NAMES:
                self._names.popitem(last=False)

    def name_of(self, job_id: str) -> str:
        """The client's name of a job, or else the job's id."""
        return self._names.get(job_id, job_id)

    def find(self, name: str, owner: str) -> Job | None:
        """The owner's job that its client calls so, the newest of several; or of this id."""
        for job_id in (*(one for one in reversed(self._names) if self._names[one] == name), name):
            if (job := self._service.book.get(job_id, owner)) is not None:
                return job
        return None

    def shown(self, owner: str) -> Job | None:
        """The job that `progress` tells of: one that is being made before one that waits, and one
        of this family before another."""
        service = self._service
        for ids in (service.queue.running(), service.queue.waiting()):
            jobs = self._pictures(ids, owner)
            for job in (*(one for one in jobs if one.client == _FAMILY), *jobs):
                return job
        return None

    def to_interrupt(self, owner: str) -> list[Job]:
        """The jobs of this family that `interrupt` ends: all that are being made; else the next
        that waits."""
        service = self._service
        running = self._own(service.queue.running(), owner)
        return running or self._own(service.queue.waiting(), owner)[:1]

    def _own(self, ids: list[str], owner: str) -> list[Job]:
        return [job for job in self._pictures(ids, owner) if job.client == _FAMILY]

    def _pictures(self, ids: list[str], owner: str) -> list[Job]:
        found = (self._service.book.get(job_id, owner) for job_id in ids)
        return [job for job in found if job is not None and job.kind == "img_gen"]
