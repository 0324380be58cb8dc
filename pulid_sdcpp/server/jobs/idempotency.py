"""Clients' own names of their requests: one that is sent twice is done once.

A client that got no answer sends its request again with the same `Idempotency-Key`. For 24 hours
it is told of the job that it has already, also after the server was started again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import ApiError
from .jobs import Job

__all__ = ["KEPT_S", "MAX_KEY_CHARS", "IdempotencyKeys"]

KEPT_S = 24 * 3600
MAX_KEY_CHARS = 255
_FIELD = "Idempotency-Key"


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
        self._changed = threading.Condition()
        self._pending: set[str] = set()
        self._uses: dict[tuple[str, str], _Use] = {}
        for job in sorted(jobs, key=lambda job: job.created):
            if job.idempotency_key:
                use = _Use(job.id, job.body_sha256, job.created)
                self._uses[job.owner, job.idempotency_key] = use

    @contextlib.contextmanager
    def claimed(
        self, owner: str, key: str, body_sha256: str, job_id: str, now: float
    ) -> Iterator[str]:
        """Keep a key while its job is accepted; gives the job that the request belongs to.

        That is `job_id`, to be accepted in the block, or the one that has the key already. While
        another thread accepts that one, this waits. A block that raises frees the key again.

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
        use = self._claim(owner, key, _Use(job_id, body_sha256, now))
        if use.job_id != job_id:
            yield use.job_id
            return
        is_accepted = False
        try:
            yield job_id
            is_accepted = True
        finally:
            with self._changed:
                self._pending.discard(job_id)
                if not is_accepted:
                    del self._uses[owner, key]
                self._changed.notify_all()

    def forget(self, job: Job) -> None:
        """Free the key of a job that is removed."""
        with self._changed:
            use = self._uses.get((job.owner, job.idempotency_key))
            if use is not None and use.job_id == job.id:
                del self._uses[job.owner, job.idempotency_key]

    def _claim(self, owner: str, key: str, new: _Use) -> _Use:
        if not 1 <= len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
            raise ApiError(
                "invalid_value",
                f"{_FIELD}: expected 1 to {MAX_KEY_CHARS} printable ASCII characters",
                _FIELD,
            )
        with self._changed:
            while True:
                self._forget_old(new.created)
                use = self._uses.get((owner, key))
                if use is None:
                    self._uses[owner, key] = new
                    self._pending.add(new.job_id)
                    return new
                if use.body_sha256 != new.body_sha256:
                    raise ApiError(
                        "invalid_value",
                        f"{_FIELD}: it was sent with another request before; take a new one",
                        _FIELD,
                    )
                if use.job_id not in self._pending:
                    return use
                self._changed.wait()

    def _forget_old(self, now: float) -> None:
        old = [
            name
            for name, use in self._uses.items()
            if now - use.created >= KEPT_S and use.job_id not in self._pending
        ]
        for name in old:
            del self._uses[name]
