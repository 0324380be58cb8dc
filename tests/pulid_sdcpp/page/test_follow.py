"""What the page shows of its user's jobs, whatever others do meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")

from html_check import tags_of
from pulid_sdcpp.page.follow import JobFollower
from pulid_sdcpp.server.jobs.job_hub import JobHub
from pulid_sdcpp.server.jobs.jobs import Job


class Book:
    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = {job.id: job for job in jobs}

    def newest(self, owner: str, *, limit: int) -> list[Job]:
        return [job for job in reversed(self.jobs.values()) if job.owner == owner][:limit]

    def get(self, job_id: str, owner: str) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job is not None and job.owner == owner else None


def follower(jobs: list[Job]) -> JobFollower:
    """Of a server where the first job runs, and the others wait."""
    ids = [job.id for job in jobs]
    queue = SimpleNamespace(
        running=lambda: ids[:1],
        waiting=lambda: ids[1:],
        position=lambda job_id: ids.index(job_id),
        is_paused=False,
    )
    service: Any = SimpleNamespace(book=Book(jobs), queue=queue, hub=JobHub())
    return JobFollower(service)


def jobs_of(owner: str, count: int) -> list[Job]:
    waiting = [
        Job(f"job_{owner}_{number:03}", "img_gen", owner, 1.0, number, {"prompt": "a"})
        for number in range(count)
    ]
    return [replace(waiting[0], status="generating"), *waiting[1:]]


def test_what_runs_is_shown_however_many_wait() -> None:
    found = follower(jobs_of("rose", 100)).jobs("rose")
    assert found.current is not None
    assert found.current.id == "job_rose_000"
    assert len(found.waiting) == 99


def test_jobs_of_others_are_not_shown() -> None:
    found = follower(jobs_of("tom", 100)).jobs("rose")
    assert (found.current, found.running, found.waiting, found.ended) == (None, [], [], [])


def test_how_far_it_is_is_read_aloud() -> None:
    page = follower(jobs_of("rose", 2))
    values = asyncio.run(page._values("rose", "session", 0.0))
    assert len(values) == JobFollower.COUNT
    [line] = tags_of(values[2], "p")
    assert line["role"] == "status"
