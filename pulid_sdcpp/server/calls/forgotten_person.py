"""What jobs keep of a person who is forgotten: copies of the identity, beside their pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ...errors import PulidError
from ...identity.identity_file import Identity
from ..jobs.job_book import JobBook
from ..service.job_request import IDENTITY_SUFFIX

__all__ = ["remove_from_jobs"]


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
