"""All jobs of the server, in memory and on the disk: one place where a job is changed.

    book.change(job_id, lambda job: job.with_picture(picture))

The disk comes first: what a client was told is there after a failure, too. Only how far a job is
may be known before it can be written: on a full disk, a job still ends.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from ...errors import OutputFileError
from ...terminal_text import reason_of
from .job_store import JobStore
from .jobs import Job
from .restart import after_restart, waiting_in_line

__all__ = ["JobBook"]

LOGGER = logging.getLogger("pulid_sdcpp.server")


class JobBook:
    """All jobs of the server. Reading never waits; writing waits for the disk, so not in a loop of
    asyncio.

    Args:
        store: Where they are kept; nobody else may change it.
        clock: Gives unix seconds.
    """

    def __init__(self, store: JobStore, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self._clock = clock
        self._changing = threading.Lock()
        self._counting = threading.Lock()  # held for a moment, while there are more or fewer jobs
        self._jobs: dict[str, Job] = {}
        self._unwritten: set[str] = set()
        self._is_loaded = False

    @property
    def is_loaded(self) -> bool:
        """Whether all jobs of the disk are known."""
        return self._is_loaded

    def load(self) -> list[Job]:
        """Read all jobs, as the server starts and before any is accepted.

        Returns:
            Those that wait, the next one first.
        """
        with self._changing:
            self._jobs = {}
            for kept in self.store.load_all():
                job = after_restart(kept, self._clock())
                with self._counting:
                    self._jobs[job.id] = job
                if job is not kept:
                    self._write_if_possible(job)
                if job.is_finished:
                    self.store.remove_photos(job.id)
            self._is_loaded = True
            return waiting_in_line(self._jobs.values())

    def accept(
        self,
        job: Job,
        files: Mapping[str, bytes] | None = None,
        photos: Mapping[str, bytes] | None = None,
    ) -> None:
        """As `JobStore.accept`; after it, the job is known.

        Raises:
            RuntimeError: Before `load`, which would remove a job that is only half there.
        """
        if not self.is_loaded:
            raise RuntimeError("no job can be accepted before the jobs are loaded")
        self.store.accept(job, files, photos)
        with self._counting:
            self._jobs[job.id] = job

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """A job; None: there is none, or it is somebody else's.

        Args:
            job_id: Any text.
            owner: Who asks; None: an administrator, or the server itself.
        """
        job = self._jobs.get(job_id)
        return job if job is not None and owner in (None, job.owner) else None

    def newest(
        self,
        owner: str | None = None,
        *,
        status: str = "",
        limit: int | None = 200,
        before: str = "",
    ) -> list[Job]:
        """Jobs, the newest first.

        Args:
            owner: Whose; None: everybody's.
            status: Only these; "": all.
            limit: How many at most; None: all.
            before: An id, for the next page: only older jobs.
        """
        with self._counting:
            jobs = list(self._jobs.items())
        jobs.sort(reverse=True)
        fit = (
            job
            for job_id, job in jobs
            if owner in (None, job.owner)
            and status in ("", job.status)
            and (not before or job_id < before)
        )
        return list(itertools.islice(fit, limit))

    def change(self, job_id: str, changed: Callable[[Job], Job], *, must_write: bool = True) -> Job:
        """Change a job, on the disk and then in memory.

        Args:
            job_id: The job.
            changed: Gives the new one of the one that is there. No other change comes between.
            must_write: Whether it is no change unless it is on the disk. Else it is written as soon
                as there is space.

        Returns:
            The new job.

        Raises:
            KeyError: It was removed.
            OutputFileError: It cannot be written; then nothing has changed.
        """
        with self._changing:
            former = self._jobs[job_id]
            job = changed(former)
            if job != former:
                if must_write:
                    self._write(job)
                else:
                    self._write_if_possible(job)
                self._jobs[job_id] = job
        if job.is_finished and not former.is_finished:
            self.store.remove_photos(job_id)
        return job

    def remove(self, job_id: str, *, unless_favourite: bool = False) -> bool:
        """Remove a finished job and its pictures.

        Args:
            job_id: The job.
            unless_favourite: Leave it if one of its pictures is marked by now.

        Returns:
            False: it stays, for it has not ended; or it is not there.
        """
        with self._changing:
            job = self._jobs.get(job_id)
            if job is None or not job.is_finished or (unless_favourite and job.has_favourite):
                return False
            with self._counting:
                del self._jobs[job_id]
            self._unwritten.discard(job_id)
            self.store.remove(job_id)
            self._write_rest()
        return True

    def remove_picture(self, job_id: str, index: int) -> bool:
        """Remove a picture of a finished job; False: the job has not ended, or has none such.

        Raises:
            KeyError: The job was removed.
            OutputFileError: The file cannot be removed, or the job not be written.
        """
        with self._changing:
            job = self._jobs[job_id]
            others = tuple(one for one in job.pictures if one.index != index)
            if not job.is_finished or others == job.pictures:
                return False
            # The file first: a file that the job does not know would be adopted again.
            path = self.store.picture_path(job_id, index)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputFileError(f"cannot remove {path}: {reason_of(error)}") from error
            job = replace(job, pictures=others)
            self._write(job)
            self._jobs[job_id] = job
        return True

    def _write(self, job: Job) -> None:
        self.store.update(job)
        self._unwritten.discard(job.id)
        self._write_rest()

    def _write_if_possible(self, job: Job) -> None:
        """On a full disk, a server still starts: else nobody could remove pictures."""
        try:
            self._write(job)
        except OutputFileError as error:
            self._unwritten.add(job.id)
            LOGGER.error("%s: what became of it is not written: %s", job.id, error)

    def _write_rest(self) -> None:
        """Write what could not be written before, as far as there is space by now."""
        for job_id in sorted(self._unwritten):
            with contextlib.suppress(OutputFileError):
                self.store.update(self._jobs[job_id])
                self._unwritten.discard(job_id)
