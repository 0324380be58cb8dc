"""Who waits, in which order, and who is served: bounded, for threads and for asyncio.

    with queue.room() as sequence:          # ApiError "queue_full": there is none
        store.accept(job with sequence)
        queue.add(job)
    job_id = queue.take()                   # or: await queue.take_async()
    queue.done(job_id)

Waiters are woken all at once and look again, each under the lock: so none sleeps while there is
something to do, and one that is cancelled takes nothing along. There are as many as engines.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..errors import ApiError, retry_after_s
from .jobs import Job
from .restart import in_line

__all__ = ["JobQueue", "WaitingJob"]

_TIMES = 20  # so many last pictures make the mean


@dataclass(frozen=True, order=True)
class WaitingJob:
    """A job in line; sorts as they are served.

    Attributes:
        rank, sequence, id: As `in_line` says.
        owner: Whose it is.
        pictures: How many it still wants.
    """

    rank: int
    sequence: int
    id: str
    owner: str = ""
    pictures: int = 1


class JobQueue:
    """Jobs that wait and those that are served; all methods may be called by any thread.

    Args:
        size: The most of them together.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._waiting: list[WaitingJob] = []
        self._running: dict[str, WaitingJob] = {}
        self._reserved: set[int] = set()
        self._last_sequence = 0
        self._paused = False
        self._closed = False
        self._picture_times_s: deque[float] = deque(maxlen=_TIMES)
        self._asleep: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    @contextlib.contextmanager
    def room(self) -> Iterator[int]:
        """Keep room for one job while it is written to the disk; gives its place in line.

        If the block ends without `add`, the room is free again.

        Raises:
            ApiError: "queue_full", with Retry-After; or "shutting_down".
        """
        with self._changed:
            if self._closed:
                raise ApiError("shutting_down", "the server is being stopped; try again later")
            if len(self._waiting) + len(self._running) + len(self._reserved) >= self._size:
                wait_s = self._retry_after_s()
                raise ApiError(
                    "queue_full",
                    f"{self._size} jobs wait already; try again in {wait_s} s",
                    headers={"Retry-After": str(wait_s)},
                )
            self._last_sequence += 1
            sequence = self._last_sequence
            self._reserved.add(sequence)
        try:
            yield sequence
        finally:
            with self._changed:
                self._reserved.discard(sequence)

    def add(self, job: Job) -> None:
        """Put a job in line: in the room that was kept for its sequence, or, at the start of the
        server, beyond the size, too."""
        rank, sequence, job_id = in_line(job)
        place = WaitingJob(rank, sequence, job_id, job.owner, max(len(job.missing), 1))
        with self._changed:
            self._reserved.discard(sequence)
            self._last_sequence = max(self._last_sequence, sequence)
            bisect.insort(self._waiting, place)
            self._wake()

    def take(self, timeout_s: float | None = None) -> str | None:
        """The next job's id, as soon as there is one; the job is then served until `done`.

        Args:
            timeout_s: How long to wait; None: without end.

        Returns:
            None: the time is over, or the queue is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_next(), timeout_s)
            return self._next()

    async def take_async(self, timeout_s: float | None = None) -> str | None:
        """As `take`, without blocking the loop.

        Its own time limit loses no job; `asyncio.wait_for` may, in Python below 3.12.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout_s is None else loop.time() + timeout_s
        while True:
            with self._changed:
                if self._closed or self._has_next():
                    return self._next()
                woken: asyncio.Future[None] = loop.create_future()
                self._asleep[woken] = loop
            try:
                left_s = None if end is None else end - loop.time()
                if left_s is not None and left_s <= 0:
                    return None
                await asyncio.wait({woken}, timeout=left_s)
            finally:
                with self._changed:
                    self._asleep.pop(woken, None)

    def done(self, job_id: str) -> None:
        """A job is no longer served, however it ended."""
        with self._changed:
            self._running.pop(job_id, None)

    def withdraw(self, job_id: str) -> bool:
        """Take a waiting job out of the line; False: it does not wait, it may be served."""
        with self._changed:
            place = self._find(job_id)
            if place is not None:
                self._waiting.remove(place)
            return place is not None

    def move(self, job_id: str, position: int) -> dict[str, int]:
        """Move a waiting job among its owner's waiting jobs of the same rank.

        They exchange their places, so nobody else waits longer.

        Args:
            job_id: The job.
            position: Where to, from 1; beyond the last is the last.

        Returns:
            The new sequence of each job that has another one, to be written to the disk.

        Raises:
            ValueError: `position` is below 1.
            ApiError: "not_found": it does not wait.
        """
        if position < 1:
            raise ValueError(f"position {position}: expected 1 or more")
        with self._changed:
            moved = self._find(job_id)
            if moved is None:
                raise ApiError("not_found", f"{job_id} is not waiting")
            group = moved.owner, moved.rank
            own = [one for one in self._waiting if (one.owner, one.rank) == group]
            order = [one for one in own if one is not moved]
            order.insert(position - 1, moved)
            changed = {
                one: replace(one, sequence=former.sequence)
                for one, former in zip(order, own, strict=True)
                if one.sequence != former.sequence
            }
            self._waiting = sorted(changed.get(one, one) for one in self._waiting)
            return {one.id: one.sequence for one in changed.values()}

    def position(self, job_id: str) -> int:
        """A job's place among all that wait, from 1; 0: it does not wait."""
        with self._changed:
            place = self._find(job_id)
            return 0 if place is None else self._waiting.index(place) + 1

    def waiting(self) -> list[str]:
        """Ids of the jobs that wait, the next one first."""
        with self._changed:
            return [place.id for place in self._waiting]

    def running(self) -> list[str]:
        """Ids of the jobs that are served."""
        with self._changed:
            return list(self._running)

    def pause(self) -> None:
        """Serve no further job until `resume`; what is served goes on."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Serve again."""
        with self._changed:
            self._paused = False
            self._wake()

    @property
    def is_paused(self) -> bool:
        return self._paused

    def close(self) -> None:
        """Take no job any more, and give none: the server stops."""
        with self._changed:
            self._closed = True
            self._wake()

    def picture_took(self, time_s: float) -> None:
        """Note how long a picture took."""
        with self._changed:
            self._picture_times_s.append(time_s)

    @property
    def mean_picture_s(self) -> float:
        """The mean time of the last pictures; 0: there was none."""
        with self._changed:
            times_s = self._picture_times_s
            return sum(times_s) / len(times_s) if times_s else 0.0

    def eta_s(self) -> float:
        """About how long all waiting pictures take; 0 where nothing is known."""
        with self._changed:
            return self.mean_picture_s * sum(place.pictures for place in self._waiting)

    def retry_after_s(self) -> int:
        """When a client that was refused should try again, 1 to 120 s."""
        with self._changed:
            return self._retry_after_s()

    def _retry_after_s(self) -> int:
        return retry_after_s(self.mean_picture_s, sum(place.pictures for place in self._waiting))

    def _has_next(self) -> bool:
        return bool(self._waiting) and not self._paused

    def _next(self) -> str | None:
        if self._closed or not self._has_next():
            return None
        place = self._waiting.pop(0)
        self._running[place.id] = place
        return place.id

    def _find(self, job_id: str) -> WaitingJob | None:
        return next((place for place in self._waiting if place.id == job_id), None)

    def _wake(self) -> None:
        self._changed.notify_all()
        for woken, loop in self._asleep.items():
            with contextlib.suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(_wake_up, woken)


def _wake_up(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
