"""Finished jobs with real pictures, as the gallery finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pulid_sdcpp.pictures.png_text import PictureText, format_text, save_picture
from pulid_sdcpp.server.jobs.job_book import JobBook
from pulid_sdcpp.server.jobs.job_ids import new_job_id
from pulid_sdcpp.server.jobs.job_store import JobStore
from pulid_sdcpp.server.jobs.jobs import Job, MadePicture

__all__ = ["ALICE", "BOB", "book_in", "finished_job"]

ALICE, BOB = "aaaa11bbbb", "bbbb22cccc"


def book_in(folder: Path) -> JobBook:
    """An empty book."""
    book = JobBook(JobStore(folder / "server"))
    book.load()
    return book


def finished_job(
    book: JobBook,
    prompt: str,
    *,
    owner: str = "local",
    people: Sequence[str] = (),
    pictures: int = 1,
    finish: bool = True,
    size: tuple[int, int] = (64, 48),
    **request: Any,
) -> Job:
    """A job with its pictures on the disk, the first with the seed 7."""
    seeds = tuple(range(7, 7 + pictures))
    body = {"model": "pocket", "prompt": prompt, **request}
    job = Job(new_job_id(), "img_gen", owner, 100.0, 1, body, seeds)
    book.accept(job)
    book.change(job.id, lambda job: job.begun(101.0))
    for index, seed in enumerate(seeds):
        values = {"Steps": "4", "Seed": str(seed), "Size": "64x48", "Preset": "pocket"}
        for number, person in enumerate(people, 1):
            suffix = f" {number}" if len(people) > 1 else ""
            values[f"PuLID identity{suffix}"] = person
        image = Image.new("RGB", size, (20 * index, 90, 160))
        path = book.store.picture_path(job.id, index)
        save_picture(image, path, format_text(PictureText(prompt, "", values)))
        made = MadePicture(index, seed, *size)
        book.change(job.id, lambda job, made=made: job.with_picture(made))  # type: ignore[misc]
    if finish:
        book.change(job.id, lambda job: job.ended("completed", 102.0))
    found = book.get(job.id)
    assert found is not None
    return found
