"""Names of jobs, which sort by the time at which the job came, and of their pictures.

`job_` and a ULID: 48 bits of milliseconds and 80 random bits, in Crockford's base 32.
Source: the ULID specification, github.com/ulid/spec; in lower case, as folders have these names.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from datetime import datetime, timezone

__all__ = ["is_job_id", "month_of_job", "new_job_id", "picture_id", "picture_of_id"]

_PREFIX = "job_"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_AS_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_CHARS = 26
_TIME_CHARS = 10  # of 5 bits; the first two bits are 0
_RANDOM_BITS = 80
_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_JOB = re.compile(rf"{_PREFIX}[0-7][{_ALPHABET}]{{{_CHARS - 1}}}")
_PICTURE = re.compile(rf"({_JOB.pattern})-(0|[1-9][0-9]{{0,5}})")

_lock = threading.Lock()
_last = 0


def new_job_id(now: float | None = None) -> str:
    """A name that nobody can guess, greater than every earlier one of this process.

    Args:
        now: Unix seconds; the clock's where it is left out. A clock that was set back changes
            nothing in the order.
    """
    global _last
    ms = min(max(int((time.time() if now is None else now) * 1000), 0), _MAX_MS)
    with _lock:
        if ms > _last >> _RANDOM_BITS:
            _last = ms << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        else:  # a step of half the bits: the next name is not to be guessed from this one
            _last += 1 + secrets.randbits(_RANDOM_BITS // 2)
        number = _last
    digits = (_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_CHARS)))
    return _PREFIX + "".join(digits)


def is_job_id(text: str) -> bool:
    """Whether a text has the form of a job's name; such a text is safe as a folder's name."""
    return _JOB.fullmatch(text) is not None and _milliseconds(text) <= _MAX_MS


def month_of_job(job_id: str) -> str:
    """The month in which a job came, "2026-11", in UTC.

    Raises:
        ValueError: It is no job's name.
    """
    if not is_job_id(job_id):
        raise ValueError("expected the id of a job: job_ and 26 characters")
    day = datetime.fromtimestamp(_milliseconds(job_id) // 1000, timezone.utc)
    return f"{day.year:04}-{day.month:02}"


def picture_id(job_id: str, index: int) -> str:
    """The name of a job's picture; `index` counts from 0."""
    return f"{job_id}-{index}"


def picture_of_id(text: str) -> tuple[str, int] | None:
    """The job and the index in a picture's name; None: it is none."""
    found = _PICTURE.fullmatch(text)
    return (found[1], int(found[2])) if found and is_job_id(found[1]) else None


def _milliseconds(job_id: str) -> int:
    digits = job_id[len(_PREFIX) : len(_PREFIX) + _TIME_CHARS]
    return int(digits.translate(_AS_PYTHON), len(_ALPHABET))
