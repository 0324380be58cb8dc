"""Clients' own names of their requests: one that is sent twice is done once.

A client that got no answer sends its request again with the same `Idempotency-Key`. For 24 hours
it is told of the job that it has already, also after the server was started again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ApiError
from .jobs import Job

__all__ = ["KEPT_S", "MAX_KEY_CHARS", "IdempotencyKeys"]

KEPT_S = 24 * 3600
MAX_KEY_CHARS = 255


@dataclass(frozen=True)
class _Use:
    job_id: str
    body_sha256: str
    created: float


class IdempotencyKeys:
    """Which job has which key, by owner; all methods may be called by any thread.

    Args:
        jobs: Those that are there, when the server starts.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._lock = threading.Lock()
        self._uses: dict[tuple[str, str], _Use] = {}
        for job in sorted(jobs, key=lambda job: job.created):
            if job.idempotency_key:
                use = _Use(job.id, job.body_sha256, job.created)
                self._uses[job.owner, job.idempotency_key] = use

    def claim(self, owner: str, key: str, body_sha256: str, job_id: str, now: float) -> str:
        """The job that a request belongs to: `job_id`, or the one that has the key already.

        Who gets its own id makes the job, and calls `give_up` if that fails.

        Args:
            owner: Who asks; the same key of another owner is another key.
            key: The client's.
            body_sha256: Of the request.
            job_id: What the job is called, if there is none yet.
            now: Unix seconds.

        Raises:
            ApiError: "invalid_value": the key is not 1 to 255 printable ASCII characters, or
                belongs to another request.
        """
        if not 1 <= len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
            raise ApiError(
                "invalid_value",
                f"Idempotency-Key: expected 1 to {MAX_KEY_CHARS} printable ASCII characters",
                "Idempotency-Key",
            )
        with self._lock:
            use = self._uses.get((owner, key))
            if use is not None and now - use.created < KEPT_S:
                if use.body_sha256 != body_sha256:
                    raise ApiError(
                        "invalid_value",
                        "Idempotency-Key: it was sent with another request before; take a new one",
                        "Idempotency-Key",
                    )
                return use.job_id
            self._forget_old(now)
            self._uses[owner, key] = _Use(job_id, body_sha256, now)
            return job_id

    def give_up(self, owner: str, key: str, job_id: str) -> None:
        """Free a key: its job was not accepted, or is removed."""
        with self._lock:
            use = self._uses.get((owner, key))
            if use is not None and use.job_id == job_id:
                del self._uses[owner, key]

    def _forget_old(self, now: float) -> None:
        old = [name for name, use in self._uses.items() if now - use.created >= KEPT_S]
        for name in old:
            del self._uses[name]
