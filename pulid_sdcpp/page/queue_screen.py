"""The screen Queue: moving, changing and cancelling one's own jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from . import texts
from .live import live, pressed_in
from .screen_parts import EVENT, call_in, told

if TYPE_CHECKING:
    from .parts import PageParts

__all__ = ["queue_rows", "queue_screen"]


def queue_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    # It was made by Create, which follows the jobs; its place is here.
    rows: Any = parts.shared_html["queue"]
    rows.render()
    screen = _Queue(service, parts)
    rows.act(screen.pressed, [], [parts.navigation, *parts.fields], **EVENT)


class _Queue:
    def __init__(self, service: Any, parts: PageParts) -> None:
        self._service = service
        self._parts = parts

    @told
    async def pressed(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        """A button of a job."""
        owner, pressed = call_in(request).owner, pressed_in(event)
        job = self._service.job(pressed.id, owner)
        nothing = [gr.skip() for _ in self._parts.fields]
        if pressed.do == "cancel":
            await self._service.cancel(job.id)
        elif pressed.do in ("up", "down"):
            waiting = [
                one for one in self._service.queue.waiting() if self._service.book.get(one, owner)
            ]
            if job.id in waiting:
                place = waiting.index(job.id) + 1 + (-1 if pressed.do == "up" else 1)
                await self._service.move(job.id, place)
        elif pressed.do == "edit":
            filled = await asyncio.to_thread(self._parts.fill, dict(job.request), owner)
            if _has_photos(job.request):
                gr.Info(texts.EDIT_STAYS)
            elif not job.is_finished:
                await self._service.cancel(job.id)
            return ["create", *filled]
        return [gr.skip(), *nothing]


def _has_photos(request: Mapping[str, Any]) -> bool:
    """Whether somebody in it is of photos still, which the form cannot have back: they would be
    lost with the job."""
    return any(one.get("photos") for one in request.get("people") or ())


def queue_rows() -> gr.HTML:
    """Where the jobs are shown."""
    return live(elem_id="queue-rows", render=False)
