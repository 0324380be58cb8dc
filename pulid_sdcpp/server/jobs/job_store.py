"""The jobs on the disk: a folder for each, by month, that only the user may look into.

    DATA/server/lock
    DATA/server/jobs/2026-11/job_01kb.../job.json, 000.png, inputs/...

There is no other record, so none can disagree with the pictures. A job is accepted when its
`job.json` is there, which is written after all that it needs; a picture is saved before the
`job.json` that has it. So a server can be killed at any moment, and the power may fail.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...errors import OutputFileError
from ...system.atomic_file import atomic_file, private_folder
from ...terminal_text import reason_of, shown
from .job_folder import (
    JOB_FILE,
    PHOTOS_FOLDER,
    picture_file,
    picture_index,
    recovered_job,
    write_job,
)
from .job_ids import is_job_id, month_of_job
from .jobs import Job

__all__ = ["MIN_FREE_BYTES", "JobStore"]

LOGGER = logging.getLogger("pulid_sdcpp.server")

MIN_FREE_BYTES = 500_000_000
"""On the disk, when a job is accepted."""

_TRIES = 100
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_FILE = re.compile(r"[0-9A-Za-z_-]{4,100}\.[0-9a-z]{2,12}")


class JobStore:
    """The jobs on the disk. Its methods may be called by any thread, for one job by one at a time.

    Args:
        root: The server's folder in the user's data folder; made where it is not there.

    Raises:
        OutputFileError: It cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._jobs = root / "jobs"
        with _writing(root):
            for folder in (root, self._jobs):
                private_folder(folder, "lock")

    @contextlib.contextmanager
    def only_server(self) -> Iterator[None]:
        """Keep other servers away from these jobs while the block runs.

        Raises:
            OutputFileError: There is one already.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise OutputFileError(
                f"another server uses {self.root}; stop it, or choose another folder (--data-dir)"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def folder(self, job_id: str) -> Path:
        """A job's folder, which may not be there.

        Raises:
            ValueError: It is no job's id.
        """
        return self._jobs / month_of_job(job_id) / job_id

    def picture_path(self, job_id: str, index: int) -> Path:
        """The file of a job's picture, which may not be there; `index` counts from 0."""
        return self.folder(job_id) / picture_file(index)

    def accept(
        self,
        job: Job,
        files: Mapping[str, bytes] | None = None,
        photos: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write a new job with all that it needs; when this returns, no failure can lose it.

        Args:
            job: A waiting one.
            files: Pictures to start from, masks, references and identities by name; they stay.
            photos: Photos by name, each in `inputs/`; they are removed by `remove_photos`.

        Raises:
            OutputFileError: The disk is full, or nearly; nothing is left of the job.
            ValueError: A name that a file cannot have here.
        """
        for name in (*(files or ()), *(photos or ())):
            if not _FILE.fullmatch(name) or picture_index(name) is not None:
                raise ValueError(f"{shown(name)} cannot be the name of a job's file")
        folder = self.folder(job.id)
        self._check_space()
        try:
            with _writing(folder):
                _make(folder)
                for name, content in (files or {}).items():
                    _write(folder / name, content)
                if photos:
                    (folder / PHOTOS_FOLDER).mkdir(mode=0o700)
                    for name, content in photos.items():
                        _write(folder / PHOTOS_FOLDER / name, content)
                    _sync(folder / PHOTOS_FOLDER)
                write_job(folder, job)
                for changed in (folder, folder.parent, self._jobs):
                    _sync(changed)
        except BaseException:
            self.remove(job.id)
            raise

    def update(self, job: Job) -> None:
        """Write what a job is now.

        Raises:
            OutputFileError: The disk is full, or the job was removed; the former text stays.
        """
        write_job(self.folder(job.id), job)

    def remove(self, job_id: str) -> None:
        """Remove a job with all its files; one that is not there is no error.

        Killed meanwhile, it is no job any more, and the rest is removed at the next start.
        """
        folder = self.folder(job_id)
        with contextlib.suppress(OSError):
            (folder / JOB_FILE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the month has other jobs
            folder.parent.rmdir()

    def remove_photos(self, job_id: str) -> None:
        """Remove a job's photos, when their identities are extracted."""
        shutil.rmtree(self.folder(job_id) / PHOTOS_FOLDER, ignore_errors=True)

    def size_bytes(self, job_id: str) -> int:
        """What a job's files take."""
        total = 0
        for folder, _, names in os.walk(self.folder(job_id)):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def load_all(self) -> list[Job]:
        """Every job, by id, after what a killed server left is put in order.

        No job may be accepted or changed meanwhile. A damaged job is logged and left out.
        """
        jobs = []
        for month in _folders_in(self._jobs):
            if not _MONTH.fullmatch(month.name):
                continue
            for folder in _folders_in(month):
                if not is_job_id(folder.name) or month_of_job(folder.name) != month.name:
                    LOGGER.warning("%s is not a job's folder, and is left alone", folder)
                    continue
                try:
                    job = recovered_job(folder)
                except OSError as error:
                    LOGGER.error("%s: left out: %s", folder, reason_of(error))
                    continue
                if job is not None:
                    jobs.append(job)
            with contextlib.suppress(OSError):  # it is not empty
                month.rmdir()
        return sorted(jobs, key=lambda job: job.id)

    def _check_space(self) -> None:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self._jobs).free
            if free < MIN_FREE_BYTES:
                raise OutputFileError(
                    f"the server's disk is nearly full: {free // 1_000_000} MB are free, and a job "
                    f"needs {MIN_FREE_BYTES // 1_000_000} MB; remove pictures"
                )


def _make(folder: Path) -> None:
    """Make a job's folder; the month's may go meanwhile, with the last job that was in it."""
    for _ in range(_TRIES):
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.mkdir(mode=0o700)
            return
    folder.mkdir(mode=0o700)


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path, private=True) as file:
        file.write(content)


def _sync(folder: Path) -> None:
    """Names in a folder are on the disk, too; Windows has no such call."""
    if os.name != "nt":
        with contextlib.suppress(OSError):  # a file system without it
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def _folders_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFileError(f"cannot write {path}: {reason_of(error)}") from error
