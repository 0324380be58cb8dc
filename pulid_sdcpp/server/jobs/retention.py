"""Which finished jobs are removed, hourly and at the start: by age, then by size, oldest first.

A job with a favourite is never removed, and does not count for the size: otherwise enough
favourites would make every new picture disappear.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import OutputFileError
from ...system.atomic_file import atomic_file
from ...system.json_record import read_json
from .job_book import JobBook
from .job_ids import is_job_id

__all__ = ["GONE_S", "FinishedJob", "GoneJobs", "removable", "remove_old_jobs"]

LOGGER = logging.getLogger("pulid_sdcpp.server")

GONE_S = 7 * 24 * 3600
"""For so long the id of a removed job answers 410, not 404."""
_DAY_S = 24 * 3600
_MAX_GONE_BYTES = 64 << 20


@dataclass(frozen=True)
class FinishedJob:
    """What counts for keeping a job.

    Attributes:
        id: The job's.
        completed: When it ended, unix seconds.
        size_bytes: What its files take.
        has_favourite: Whether it stays in any case.
    """

    id: str
    completed: float
    size_bytes: int
    has_favourite: bool = False


def removable(
    jobs: Iterable[FinishedJob], *, now: float, keep_days: float, keep_bytes: float
) -> list[str]:
    """Ids of the jobs to remove, the oldest first.

    Args:
        jobs: All finished ones.
        now: Unix seconds; a job that ended later is new (the clock was set back).
        keep_days: Days after which a job is removed; 0: no limit.
        keep_bytes: What all together may take; 0: no limit.
    """
    oldest_first = sorted(
        (job for job in jobs if not job.has_favourite), key=lambda job: (job.completed, job.id)
    )
    total = sum(job.size_bytes for job in oldest_first)
    removed = []
    for job in oldest_first:
        is_old = keep_days > 0 and now - job.completed > keep_days * _DAY_S
        is_too_much = 0 < keep_bytes < total
        if is_old or is_too_much:
            removed.append(job.id)
            total -= job.size_bytes
    return removed


class GoneJobs:
    """Jobs that were removed in the last seven days, and whose they were.

    Args:
        path: The file that keeps them; it need not be there.
        now: Unix seconds.
    """

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._jobs = _recent(_read(path), now)

    def has(self, job_id: str, owner: str | None) -> bool:
        """Whether it was a job of this owner; None: of anybody."""
        gone = self._jobs.get(job_id)
        return gone is not None and owner in (None, gone[0])

    def add(self, owners: Mapping[str, str], now: float) -> None:
        """Note that jobs are gone.

        Args:
            owners: Whose, by id.
            now: Unix seconds.

        Raises:
            OutputFileError: It cannot be written.
        """
        with self._lock:
            jobs = _recent(self._jobs, now)
            jobs |= {job_id: (owner, now) for job_id, owner in owners.items()}
            with atomic_file(self._path, private=True) as file:
                file.write(json.dumps(jobs).encode("ascii"))
            self._jobs = jobs


def remove_old_jobs(
    book: JobBook, gone: GoneJobs, *, now: float, keep_days: float, keep_gib: float
) -> list[str]:
    """Remove finished jobs beyond the limits; for a thread, once an hour.

    Args:
        book: All jobs.
        gone: Where it is noted.
        now: Unix seconds.
        keep_days, keep_gib: As for `removable`, in GiB.

    Returns:
        The ids of those that were removed.
    """
    finished = {job.id: job for job in book.newest(limit=None) if job.is_finished}
    jobs = (
        FinishedJob(
            job.id,
            job.created if job.completed is None else job.completed,
            book.store.size_bytes(job.id) if keep_gib else 0,
            job.has_favourite,
        )
        for job in finished.values()
    )
    old = removable(jobs, now=now, keep_days=keep_days, keep_bytes=keep_gib * (1 << 30))
    if not old:
        return []
    try:  # first: a job that is gone, and nobody knows of, would be an error of the client
        gone.add({job_id: finished[job_id].owner for job_id in old}, now)
    except OutputFileError as error:  # a full disk, above all, is to be made free
        LOGGER.warning("%s", error)
    return [job_id for job_id in old if book.remove(job_id, unless_favourite=True)]


def _read(path: Path) -> dict[str, tuple[str, float]]:
    try:
        record = read_json(path, _MAX_GONE_BYTES)
        return {
            job_id: (str(owner), float(removed))
            for job_id, (owner, removed) in record.items()
            if is_job_id(job_id)
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        LOGGER.warning("%s cannot be read: %s", path, error)
        return {}


def _recent(jobs: Mapping[str, tuple[str, float]], now: float) -> dict[str, tuple[str, float]]:
    return {job_id: gone for job_id, gone in jobs.items() if now - gone[1] < GONE_S}
