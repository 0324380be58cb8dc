"""What becomes of a job when the server starts again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .jobs import Job, JobFailure

__all__ = ["MAX_INTERRUPTIONS", "after_restart", "in_line", "waiting_in_line"]

MAX_INTERRUPTIONS = 5
"""Starts in which the same picture was begun and not finished, after which no more is tried."""

_INTERRUPTED = JobFailure(
    "interrupted",
    f"the server ended {MAX_INTERRUPTIONS} times while it made this picture; its log may say why",
)
_CLIENT_GONE = JobFailure(
    "client_gone", "the server was started again, and the client that waited is gone"
)
_CANCELLED = JobFailure("cancelled", "it was cancelled")


def after_restart(job: Job, now: float) -> Job:
    """The job as it goes on; the same object where nothing changes.

    What has all its pictures is completed, whoever waited for it.

    Args:
        job: As the disk has it, with the pictures that are there.
        now: Unix seconds.
    """
    if job.is_finished:
        return job
    if job.seeds and not job.missing:
        return job.ended("completed", now)
    if job.cancel_requested:
        return job.ended("cancelled", now, _CANCELLED)
    if job.synchronous:
        return job.ended("cancelled", now, _CLIENT_GONE)
    if job.status != "generating":
        return job
    interruptions = job.interruptions + 1
    job = replace(job, interruptions=interruptions)
    if interruptions >= MAX_INTERRUPTIONS:
        return job.ended("failed", now, _INTERRUPTED)
    return job.put_back()


def in_line(job: Job) -> tuple[int, int, str]:
    """Sorts waiting jobs: what was begun before, then extractions, then all others as they came.

    Adding a face does not wait for a batch of pictures.
    """
    rank = 0 if job.started is not None else 1 if job.kind == "extract" else 2
    return rank, job.sequence, job.id


def waiting_in_line(jobs: Iterable[Job]) -> list[Job]:
    """Those that wait, the next one first."""
    return sorted((job for job in jobs if job.status == "queued"), key=in_line)
