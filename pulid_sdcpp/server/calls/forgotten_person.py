"""Forgetting a person: in the library, and what jobs keep, copies of the identity."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ...errors import PulidError
from ...identity.identity_file import Identity
from ..errors import ApiError
from ..jobs.job_book import JobBook
from ..library.library_person import LibraryPerson
from ..service.job_request import IDENTITY_SUFFIX
from ..service.service import PictureService
from .identity_view import uses_identity

__all__ = ["forget_person", "remove_from_jobs"]


async def forget_person(service: PictureService, owner: str, name_or_id: str) -> LibraryPerson:
    """Forget somebody, also in jobs that have ended; their pictures stay.

    Raises:
        ApiError: "identity_not_found"; "in_use": a job that has not ended needs the person.
    """
    person = await asyncio.to_thread(service.people.find, owner, name_or_id, param="id")
    for job in service.book.newest(owner, limit=None):
        if not job.is_finished and uses_identity(job, person):
            raise ApiError(
                "in_use", f"{job.id} needs this person; cancel it, or wait for its end", "id"
            )
    person = await asyncio.to_thread(service.people.remove, owner, name_or_id)
    still = await asyncio.to_thread(service.people.names_by_id, owner)
    for its_id in person.ids:
        if its_id not in still:
            await asyncio.to_thread(remove_from_jobs, service.book, owner, its_id)
    service.changed("identity", owner, id=person.id)
    return person


def remove_from_jobs(book: JobBook, owner: str, person_id: str) -> int:
    """Remove somebody's identity from jobs that have ended; their pictures stay. In a thread.

    Args:
        book: All jobs.
        owner: Whose jobs; others may keep the same person.
        person_id: `Identity.short_hash`.

    Returns:
        How many copies there were.
    """
    removed = 0
    known: dict[str, bool] = {}
    for job in book.newest(owner, limit=None):
        if not job.is_finished:
            continue
        for path in book.store.folder(job.id).glob(f"*{IDENTITY_SUFFIX}"):
            if path.stem not in known:  # its name is the person's id, or the hash of the file
                known[path.stem] = path.stem == person_id or _is_of(path, person_id)
            if known[path.stem]:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                    removed += 1
    return removed


def _is_of(path: Path, person_id: str) -> bool:
    try:
        return Identity.load(path).short_hash == person_id
    except (PulidError, ValueError, OSError):  # damaged, or removed meanwhile
        return False
