"""What jobs do at this moment, in memory only: their progress, previews, and who listens.

    async with hub.subscribe(job=job_id) as events:
        async for event in events:
            print(event.name, event.data)

For one event loop. A listener that is slow loses stages, steps and previews, never another event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["JobEvent", "JobHub", "JobPreview", "JobProgress", "Subscription"]

_LOSABLE = {"stage", "step", "preview"}
_MAX_LOSABLE = 16
"""Of one listener: the newest stay."""


@dataclass(frozen=True)
class JobEvent:
    """Something that happened.

    Attributes:
        name: queued, stage, step, preview, saved, note, completed, failed, cancelled; or gallery,
            identity, model: something else of the owner's has changed.
        job: The job's id; "" where it is about none.
        owner: Whose it is.
        data: As in an answer's JSON.
    """

    name: str
    job: str
    owner: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    Attributes:
        stage: load, extract, fold, encode, denoise or decode.
        step, steps: Of the stage; 0 of 0 where it has none.
        step_time_s: How long the last step took.
        picture, pictures: Which picture is made, from 0, of how many.
        eta_s: About how long the job still takes; None: nothing is known.
    """

    stage: str = ""
    step: int = 0
    steps: int = 0
    step_time_s: float = 0.0
    picture: int = 0
    pictures: int = 0
    eta_s: float | None = None


@dataclass(frozen=True)
class JobPreview:
    """An unfinished picture.

    Attributes:
        picture: Which, from 0.
        step, steps: After how many steps of how many.
        png: The file.
    """

    picture: int
    step: int
    steps: int
    png: bytes = field(repr=False)


class Subscription:
    """The events of a job, or of an owner, from now on; a context manager and an iterator.

    Args:
        hub: Where they come from.
        job: Of this job only; "": of all.
        owner: Of this owner only; None: of everybody.
    """

    def __init__(self, hub: JobHub, job: str, owner: str | None) -> None:
        self._hub = hub
        self._job = job
        self._owner = owner
        self._events: deque[JobEvent] = deque()
        self._new = asyncio.Event()

    async def __aenter__(self) -> Subscription:
        self._hub._listeners.add(self)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._hub._listeners.discard(self)

    def __aiter__(self) -> AsyncIterator[JobEvent]:
        return self

    async def __anext__(self) -> JobEvent:
        event = await self.next()
        assert event is not None  # without a time limit there is always one
        return event

    async def next(self, timeout_s: float | None = None) -> JobEvent | None:
        """The next event; None: there was none for so many seconds."""
        if not self._events:
            self._new.clear()
            waiting = asyncio.ensure_future(self._new.wait())
            try:
                await asyncio.wait([waiting], timeout=timeout_s)
            finally:
                waiting.cancel()
        return self._events.popleft() if self._events else None

    def _tell(self, event: JobEvent) -> None:
        if (self._job and event.job != self._job) or self._owner not in (None, event.owner):
            return
        self._events.append(event)
        if event.name in _LOSABLE:
            losable = [one for one in self._events if one.name in _LOSABLE]
            if len(losable) > _MAX_LOSABLE:
                self._events.remove(losable[0])
        self._new.set()


class JobHub:
    """What is known of running jobs, and those who listen."""

    def __init__(self) -> None:
        self._listeners: set[Subscription] = set()
        self._progress: dict[str, JobProgress] = {}
        self._previews: dict[str, JobPreview] = {}

    def progress(self, job_id: str) -> JobProgress | None:
        """How far a job is; None: it does not run."""
        return self._progress.get(job_id)

    def preview(self, job_id: str) -> JobPreview | None:
        """The newest unfinished picture of a job that runs."""
        return self._previews.get(job_id)

    def set_progress(self, job_id: str, progress: JobProgress) -> None:
        """Note how far a job is."""
        self._progress[job_id] = progress

    def set_preview(self, job_id: str, preview: JobPreview | None) -> None:
        """Note an unfinished picture; None: it is finished."""
        if preview is None:
            self._previews.pop(job_id, None)
        else:
            self._previews[job_id] = preview

    def forget(self, job_id: str) -> None:
        """A job does not run any more."""
        self._progress.pop(job_id, None)
        self._previews.pop(job_id, None)

    def publish(self, event: JobEvent) -> None:
        """Tell everybody who listens."""
        for listener in list(self._listeners):
            listener._tell(event)

    def subscribe(self, *, job: str = "", owner: str | None = None) -> Subscription:
        """Listen.

        Args:
            job: To this job; "": to all.
            owner: To jobs of this owner; None: of everybody.
        """
        return Subscription(self, job, owner)
