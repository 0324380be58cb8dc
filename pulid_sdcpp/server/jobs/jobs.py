"""A job of the server: what is wanted, by whom, and how far it is.

A job never changes; each change is a new one, so that any thread may read one at any time.

    queued ──> generating ──> completed | failed | cancelled
      ^ └───────────┼───────────────────> failed | cancelled
      └─────────────┘ the server stopped
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["FINISHED", "KINDS", "STATUSES", "Job", "JobFailure", "MadePicture"]

STATUSES = ("queued", "generating", "completed", "failed", "cancelled")
FINISHED = STATUSES[2:]
KINDS = ("img_gen", "extract", "grid", "score", "download")

_NEXT = {
    "queued": ("generating", "failed", "cancelled", "completed"),
    "generating": ("queued", "completed", "failed", "cancelled"),
}


@dataclass(frozen=True)
class MadePicture:
    """A picture that is on the disk.

    Attributes:
        index: Its place in the job, from 0; names its file.
        seed: What it was made with.
        width, height: Pixels.
        favourite: Whether its owner marked it; such a picture is never removed for age or size.
    """

    index: int
    seed: int
    width: int
    height: int
    favourite: bool = False


@dataclass(frozen=True)
class JobFailure:
    """Why a job ended without all that was wanted.

    Attributes:
        code: As an answer of the server has it, `engine_crashed`.
        message: One line: what, and what to do.
        param: The field that is at fault; None: no single one.
    """

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True)
class Job:
    """What is wanted, by whom, and how far it is.

    Attributes:
        id: As `new_job_id` gives it.
        kind: Of KINDS.
        owner: Whose it is; nobody else can see it.
        created: When it came, unix seconds.
        sequence: Its place in line; lower is earlier.
        request: What is wanted, as JSON: a normalised request.
        seeds: One for each picture; drawn when the job came, so that it always makes the same.
        status: Of STATUSES.
        started, completed: When it was first begun, and when it ended; unix seconds, or None.
        pictures: What is on the disk, by index.
        result: What a job without pictures found, as JSON.
        error: Why it failed or was cancelled.
        attempts: How often it was begun.
        interruptions: How often in succession the server died in the same picture.
        cancel_requested: Whether it is to end as soon as it can.
        synchronous: Whether a client waits for it on its connection.
        client: The family of endpoints it came by.
        title: What its owner calls it.
        warnings: What the request has that was not done: mappings of code, field and message.
        idempotency_key, body_sha256: The client's own name of its request, and what was in that.
    """

    id: str
    kind: str
    owner: str
    created: float
    sequence: int
    request: Mapping[str, Any]
    seeds: tuple[int, ...] = ()
    status: str = "queued"
    started: float | None = None
    completed: float | None = None
    pictures: tuple[MadePicture, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    error: JobFailure | None = None
    attempts: int = 0
    interruptions: int = 0
    cancel_requested: bool = False
    synchronous: bool = False
    client: str = "own"
    title: str = ""
    warnings: tuple[Mapping[str, str], ...] = ()
    idempotency_key: str = ""
    body_sha256: str = ""

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def missing(self) -> tuple[int, ...]:
        """The indexes of the pictures that are not there yet."""
        there = {picture.index for picture in self.pictures}
        return tuple(index for index in range(len(self.seeds)) if index not in there)

    @property
    def has_favourite(self) -> bool:
        return any(picture.favourite for picture in self.pictures)

    def begun(self, now: float) -> Job:
        """The job as it is being made.

        Raises:
            ValueError: It is not waiting.
        """
        started = now if self.started is None else self.started
        return replace(self._as("generating"), started=started, attempts=self.attempts + 1)

    def put_back(self) -> Job:
        """The job as it waits again, first in line, as the server stops in good order.

        Raises:
            ValueError: It is not being made.
        """
        return self._as("queued")

    def with_picture(self, picture: MadePicture) -> Job:
        """The job with one more picture; one of the same index is replaced.

        Raises:
            ValueError: The job wants no such picture.
        """
        if not 0 <= picture.index < len(self.seeds):
            raise ValueError(f"{self.id} has {len(self.seeds)} pictures, and none {picture.index}")
        others = (one for one in self.pictures if one.index != picture.index)
        pictures = tuple(sorted((*others, picture), key=lambda one: one.index))
        return replace(self, pictures=pictures, interruptions=0)

    def ended(
        self,
        status: str,
        now: float,
        error: JobFailure | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> Job:
        """The job as it ended.

        Args:
            status: Of FINISHED.
            now: Unix seconds.
            error: Why it failed or was cancelled.
            result: What it found.

        Raises:
            ValueError: It has ended already, or `status` is none of an ended job.
        """
        if status not in FINISHED:
            raise ValueError(f"a job does not end {status}")
        found = self.result if result is None else result
        return replace(self._as(status), completed=now, error=error, result=found)

    def _as(self, status: str) -> Job:
        if status not in _NEXT.get(self.status, ()):
            raise ValueError(f"{self.id} is {self.status} and cannot become {status}")
        return replace(self, status=status)
