"""Which jobs are removed, and how long it is known that they were there."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from pulid_sdcpp.server.jobs.job_book import JobBook
from pulid_sdcpp.server.jobs.job_ids import new_job_id
from pulid_sdcpp.server.jobs.job_store import JobStore
from pulid_sdcpp.server.jobs.jobs import Job, MadePicture
from pulid_sdcpp.server.jobs.retention import (
    GONE_S,
    FinishedJob,
    GoneJobs,
    removable,
    remove_old_jobs,
)

DAY_S = 24 * 3600
NOW = 100 * DAY_S
# The third of five is a favourite; the last ended "tomorrow", before the clock was set back.
JOBS = [
    FinishedJob("d", NOW - 1 * DAY_S, 10),
    FinishedJob("a", NOW - 40 * DAY_S, 10),
    FinishedJob("c", NOW - 35 * DAY_S, 1000, has_favourite=True),
    FinishedJob("b", NOW - 30 * DAY_S, 10),
    FinishedJob("e", NOW + 1 * DAY_S, 10),
]


@pytest.mark.parametrize(
    ("days", "size", "removed"),
    [
        (0, 0, ""),
        (30, 0, "a"),
        (29.9, 0, "ab"),
        (0.5, 0, "abd"),
        (0, 40, ""),
        (0, 39, "a"),
        (0, 20, "ab"),
        (0, 1, "abde"),
        (30, 30, "a"),
        (30, 29, "ab"),
    ],
)
def test_by_age_then_by_size_the_oldest_first(days: float, size: float, removed: str) -> None:
    assert "".join(removable(JOBS, now=NOW, keep_days=days, keep_bytes=size)) == removed


def test_a_removed_job_is_known_for_seven_days_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "gone.json"
    job_id, other = new_job_id(), new_job_id()
    gone = GoneJobs(path, NOW)
    gone.add({job_id: "a"}, NOW)
    for known in (gone, GoneJobs(path, NOW + GONE_S - 1)):
        assert known.has(job_id, "a")
        assert known.has(job_id, None)
        assert not known.has(job_id, "b")
        assert not known.has(other, "a")
    assert not GoneJobs(path, NOW + GONE_S).has(job_id, "a")
    gone.add({other: "a"}, NOW + GONE_S)
    assert not gone.has(job_id, "a")
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"job": 1}', b'{"a": ["b"]}', b"\xff"])
def test_a_damaged_memory_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gone.json"
    path.write_bytes(content)
    gone = GoneJobs(path, NOW)
    job_id = new_job_id()
    gone.add({job_id: "a"}, NOW)
    assert GoneJobs(path, NOW).has(job_id, "a")


def test_old_finished_jobs_go_with_their_files(tmp_path: Path) -> None:
    book = JobBook(JobStore(tmp_path))
    book.load()
    gone = GoneJobs(tmp_path / "gone.json", NOW)
    base = Job("", "img_gen", "a", 0.0, 1, {}, (7,))
    old, favourite, waiting, new = jobs = [replace(base, id=new_job_id()) for _ in range(4)]
    for job in jobs:
        book.accept(job)
    liked = MadePicture(0, 7, 16, 16, favourite=True)
    book.change(old.id, lambda job: job.ended("completed", 1))
    book.change(favourite.id, lambda job: job.with_picture(liked).ended("completed", 1))
    book.change(new.id, lambda job: job.ended("failed", NOW - 1))
    limits = {"now": NOW, "keep_days": 30}
    assert remove_old_jobs(book, gone, keep_gib=10, **limits) == [old.id]
    assert remove_old_jobs(book, gone, keep_gib=10, **limits) == []
    assert not book.store.folder(old.id).exists()
    assert gone.has(old.id, "a")
    assert {job.id for job in book.newest()} == {favourite.id, waiting.id, new.id}
    assert remove_old_jobs(book, gone, keep_gib=1e-12, **limits) == [new.id]


def test_a_full_disk_does_not_keep_it_full(tmp_path: Path) -> None:
    book = JobBook(JobStore(tmp_path))
    book.load()
    job = Job(new_job_id(), "img_gen", "a", 0.0, 1, {}, (7,))
    book.accept(job)
    book.change(job.id, lambda job: job.ended("completed", 1))
    gone = GoneJobs(tmp_path / "not there" / "gone.json", NOW)
    assert remove_old_jobs(book, gone, now=NOW, keep_days=30, keep_gib=0) == [job.id]
