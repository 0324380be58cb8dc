"""A person who is forgotten is forgotten by finished jobs, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.server.calls.forgotten_person import remove_from_jobs
from pulid_sdcpp.server.jobs.job_book import JobBook
from pulid_sdcpp.server.jobs.jobs import Job

from ..gallery_jobs import book_in, finished_job


@pytest.fixture
def book(tmp_path: Path) -> JobBook:
    return book_in(tmp_path)


def keep(book: JobBook, job: Job, identity: Identity, name: str) -> Path:
    path = book.store.folder(job.id) / f"{name}.pulidembd"
    identity.save(path)
    return path


def test_copies_of_any_name_go_and_all_else_stays(
    book: JobBook, make_identity: Callable[[int], Identity]
) -> None:
    rose, tom = make_identity(1), make_identity(2)
    both, waiting = finished_job(book, "both"), finished_job(book, "waits", finish=False)
    other = finished_job(book, "of somebody else", owner="tom")
    gone = [keep(book, both, rose, rose.short_hash), keep(book, both, rose, "f" * 64)]
    stay = [
        keep(book, both, tom, "e" * 64),
        keep(book, waiting, rose, rose.short_hash),
        keep(book, other, rose, rose.short_hash),
    ]
    damaged = book.store.folder(both.id) / f"{'d' * 64}.pulidembd"
    damaged.write_bytes(b"nothing")
    assert remove_from_jobs(book, "local", rose.short_hash) == len(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.is_file() for path in (*stay, damaged, book.store.picture_path(both.id, 0)))
    assert remove_from_jobs(book, "local", rose.short_hash) == 0
