"""What the page shows of its user's jobs, as they go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from ..server.jobs.jobs import Job, MadePicture
from .now_html import actions_html, latest_html, made_html, stop_html
from .now_panel import NowView, alt_of_job, empty_html, now_bar, preview_url, shown_html, spoken
from .queue_html import queue_html
from .screen_parts import call_in

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["JobFollower", "OwnJobs"]

_KNOWN = 60
"""Jobs of which the page shows something, the newest, and all that run or wait."""
_LATEST = 12
"""Thumbnails below the picture."""
_PAUSE_S = 0.15
"""Between two views of a page."""
_TICK_S = 2.0
"""After so long without an event, the page is brought up to date anyway."""


@dataclass(frozen=True)
class OwnJobs:
    """The jobs of one user.

    Attributes:
        running, waiting: In the order of the queue.
        ended: The newest first.
    """

    running: Sequence[Job]
    waiting: Sequence[Job]
    ended: Sequence[Job]

    @property
    def current(self) -> Job | None:
        """The one that the page is about: what runs, else what waits."""
        return next(iter((*self.running, *self.waiting)), None)

    def pictures(self) -> list[tuple[Job, MadePicture]]:
        """The newest pictures first."""
        jobs = (*self.running, *self.ended)
        return [
            (job, picture)
            for job in jobs
            if job.kind == "img_gen"
            for picture in reversed(job.pictures)
        ]

    def picture(self, wanted: str) -> tuple[Job, MadePicture] | None:
        """A picture by its id."""
        found = (one for one in self.pictures() if f"{one[0].id}-{one[1].index}" == wanted)
        return next(found, None)


class JobFollower:
    """Follows the jobs of whoever has the page open.

    Args:
        service: Whose jobs these are.
    """

    COUNT = 7
    """Of the values: picture, bar, what is said aloud, cancel, actions, latest, queue."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._looking: dict[str, str] = {}
        self._changed: dict[str, asyncio.Event] = {}

    def look_at(self, session: str, picture: str) -> None:
        """Have a page show a picture, whatever is made meanwhile; "": what is made."""
        if picture:
            self._looking[session] = picture
        else:
            self._looking.pop(session, None)
        if (changed := self._changed.get(session)) is not None:
            changed.set()

    def jobs(self, owner: str) -> OwnJobs:
        """What there is of a user's."""
        service = self._service
        known = {job.id: job for job in service.book.newest(owner, limit=_KNOWN)}
        served, in_line = service.queue.running(), service.queue.waiting()
        for one in (*served, *in_line):  # more may wait than are known of otherwise
            if one not in known and (job := service.book.get(one, owner)) is not None:
                known[one] = job
        running = [known[one] for one in served if one in known]
        waiting = [known[one] for one in in_line if one in known]
        others = [
            job for job in known.values() if job.status == "generating" and job.id not in served
        ]
        ended = [job for job in known.values() if job.is_finished]
        return OwnJobs([*running, *others], waiting, ended)

    async def follow(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The page's values, as often as they change, until the page is closed."""
        owner, session = call_in(request).owner, request.session_hash or ""
        changed = self._changed[session] = asyncio.Event()
        opened = self._service.clock()
        shown: list[Any] = [None] * self.COUNT
        try:
            async with self._service.hub.subscribe(owner=owner) as events:
                while not self._service.is_stopping:
                    now = await self._values(owner, session, opened)
                    if now != shown:
                        pairs = zip(now, shown, strict=True)
                        yield [gr.skip() if new == old else new for new, old in pairs]
                        shown = now
                    await asyncio.sleep(_PAUSE_S)
                    await _first(events, changed)
                    changed.clear()
        finally:
            self._changed.pop(session, None)
            self._looking.pop(session, None)

    async def _values(self, owner: str, session: str, opened: float) -> list[str]:
        service = self._service
        jobs = self.jobs(owner)
        current = jobs.current
        if current is None:
            last = next(iter(jobs.ended), None)
            is_new = last is not None and (last.completed or 0) >= opened
            current = last if is_new else None
        view = NowView(
            current,
            service.hub.progress(current.id) if current is not None else None,
            service.queue.position(current.id) if current is not None else 0,
            service.queue.is_paused,
        )
        wanted = self._looking.get(session, "")
        found = jobs.picture(wanted) if wanted else None
        preview = None
        if current is not None and found is None and current.status == "generating":
            preview = service.hub.preview(current.id)
        if found is None and preview is None:
            found = next(iter(jobs.pictures()), None)
        if preview is not None and current is not None:
            url = await asyncio.to_thread(preview_url, preview)
            width, height = _size(current)
            picture = shown_html(url, alt_of_job(current), width, height, unfinished=True)
        elif found is not None:
            picture = made_html(*found)
        else:
            picture = empty_html()
        is_elsewhere = bool(wanted) and jobs.current is not None
        values = (
            picture,
            now_bar(view),
            # A place whose text changes is read aloud; the picture beside it is not.
            Markup('<p role="status">{}</p>').format(spoken(view)),
            stop_html(view),
            actions_html(found, is_elsewhere=is_elsewhere) if preview is None else Markup(""),
            latest_html(jobs.pictures()[:_LATEST], found),
            queue_html(jobs, service.queue),
        )
        return [str(value) for value in values]


async def _first(events: Any, changed: asyncio.Event) -> None:
    """Wait for an event, or for somebody who wants to see something else."""
    looking = asyncio.ensure_future(changed.wait())
    told = asyncio.ensure_future(events.next(timeout_s=_TICK_S))
    try:
        await asyncio.wait([looking, told], return_when=asyncio.FIRST_COMPLETED)
    finally:
        looking.cancel()
        if not told.done():
            told.cancel()
    while await events.next(timeout_s=0) is not None:
        pass


def _size(job: Job) -> tuple[int, int]:
    width, height = job.request.get("width", 1), job.request.get("height", 1)
    return int(width), int(height)
