"""The screen Grid: one identity in many prompts, with likeness, to see what it is worth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..server.calls.grid_calls import default_prompts_of, grid_job, grid_view, submit_grid
from ..server.request.request_files import RequestFiles
from ..server.service.grids import MAX_GRID_PICTURES, MOST_OF_GRID
from . import screen_texts as texts
from .gallery_state import Shown
from .grid_html import grid_html
from .grid_state import grid_body, grid_count, time_text
from .live import html, live, pressed_in
from .picture_dialog import PictureDialog
from .screen_parts import EVENT, call_in, going_to, told, told_step_by_step

if TYPE_CHECKING:
    from ..server.jobs.jobs import Job
    from ..server.service.service import PictureService
    from .parts import PageParts

__all__ = ["grid_screen"]

_LOOK_S = 1.0
"""So often a running grid is looked at."""
_DEFAULT_COUNT = 8
"""Of prompts."""


def grid_screen(service: PictureService, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    gr.HTML(html("<p>{text}</p>", text=texts.GRID_WHAT))
    job = gr.State("")
    shown = gr.State(Shown())
    with gr.Row(elem_classes="ps-filters"):
        with gr.Column(scale=2, min_width=280):
            people = gr.Dropdown([], multiselect=True, label=texts.GRID_PEOPLE)
            prompts = gr.Textbox(
                "\n".join(default_prompts_of(service.models.default)),
                label=texts.GRID_PROMPTS.format(most=MOST_OF_GRID["prompts"]),
                lines=8,
                max_lines=16,
            )
        with gr.Column(scale=1, min_width=240):
            weights = gr.Textbox(
                "0.8, 1, 1.2",
                label=texts.GRID_WEIGHTS.format(most=MOST_OF_GRID["weights"]),
                max_lines=1,
            )
            seeds = gr.Textbox(
                "1", label=texts.GRID_SEEDS.format(most=MOST_OF_GRID["seeds"]), max_lines=1
            )
            with gr.Accordion(texts.GRID_PICTURE, open=False):
                width = gr.Number(label=texts.GRID_WIDTH, precision=0, minimum=64, step=16)
                height = gr.Number(label=texts.GRID_HEIGHT, precision=0, minimum=64, step=16)
                steps = gr.Number(label=texts.GRID_STEPS, precision=0, minimum=1)
            count = gr.HTML(said(""))
            start = gr.Button(texts.GRID_START, variant="primary")
            stop = gr.Button(texts.CANCEL, visible=False)
    status = gr.HTML(said(""))
    table = live()
    dialog = PictureDialog(service, parts, shown, table, lambda shown: gr.skip())
    screen = _GridEvents(service, parts, dialog)
    wish = [people, prompts, seeds, weights, width, height, steps]
    followed = [job, status, table, stop, start]
    for changed in (people, prompts, seeds, weights):
        event = {**EVENT, "trigger_mode": "always_last"}
        changed.change(screen.counted, wish, [count], **event)
    parts.when_shown("grid", screen.counted, inputs=wish, outputs=[count])
    wanted = parts.shared["grid_person"]
    parts.when_shown("grid", screen.shown, inputs=[wanted], outputs=[people, wanted])
    parts.when_shown("grid", screen.followed, inputs=[job], outputs=followed, trigger_mode="once")
    start.click(screen.started, wish, followed, **{**EVENT, "trigger_mode": "once"})
    stop.click(screen.stopped, [job], [], **EVENT)
    table.act(screen.opened, [job], [shown, dialog.dialog], **EVENT)
    table.act(screen.weighed, [job], [parts.navigation, *parts.fields], **EVENT)


def said(text: str) -> str:
    """A line that is read aloud when it changes."""
    return html('<p role="status" class="ps-note">{text}</p>', text=text)


class _GridEvents:
    def __init__(self, service: PictureService, parts: PageParts, dialog: PictureDialog) -> None:
        self._service = service
        self._parts = parts
        self._dialog = dialog

    @told
    async def shown(self, wanted: str, request: gr.Request) -> tuple[Any, str]:
        """The screen comes into sight: who can be chosen, and who was chosen on another screen."""
        call = call_in(request)
        names = await asyncio.to_thread(self._service.people.names, call.owner)
        if wanted in names:
            return gr.Dropdown(choices=list(names), value=[wanted]), ""
        return gr.Dropdown(choices=list(names)), ""

    @told
    async def counted(self, *wish: Any) -> str:
        """How many pictures that are, and how long they take."""
        return said(self._count_text(_body(*wish)))

    def _count_text(self, body: dict[str, Any]) -> str:
        pictures = grid_count(body, _DEFAULT_COUNT)
        if pictures > MAX_GRID_PICTURES:
            return texts.GRID_TOO_MANY.format(pictures=pictures, most=MAX_GRID_PICTURES)
        text = texts.GRID_COUNT.format(pictures=pictures)
        each_s = self._service.queue.mean_picture_s
        return (
            f"{text}, {texts.GRID_TIME.format(time=time_text(each_s * pictures))}"
            if each_s
            else text
        )

    @told_step_by_step
    async def started(
        self,
        people: Sequence[str] | None,
        prompts: str,
        seeds: str,
        weights: str,
        width: float | None,
        height: float | None,
        steps: float | None,
        request: gr.Request,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """The grid is asked for, and followed."""
        call = call_in(request)
        body = _body(people, prompts, seeds, weights, width, height, steps)
        files = RequestFiles(self._service.limits)
        job = await submit_grid(self._service, body, files, owner=call.owner)
        async for values in self._follow(job):
            yield values

    @told_step_by_step
    async def followed(self, job_id: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """The screen comes into sight: the last grid, until it is made."""
        call = call_in(request)
        grids = [
            one for one in self._service.book.newest(call.owner, limit=None) if one.kind == "grid"
        ]
        job = next((one for one in grids if one.id == job_id), grids[0] if grids else None)
        if job is None:
            yield "", said(""), grid_html({}), gr.skip(), gr.skip()
            return
        async for values in self._follow(job):
            yield values

    async def _follow(self, job: Job) -> AsyncIterator[tuple[Any, ...]]:
        last: Any = None
        while True:
            now = self._service.book.get(job.id)
            if now is None:
                return
            view = grid_view(self._service, now)
            values = (
                now.id,
                said(_progress(now, view)),
                grid_html(view["result"], job=now.id, finished=now.is_finished),
                gr.Button(visible=not now.is_finished),
                gr.Button(interactive=now.is_finished),
            )
            if values[1:3] != last:
                last = values[1:3]
                yield values
            if now.is_finished:
                return
            await asyncio.sleep(_LOOK_S)

    @told
    async def stopped(self, job_id: str, request: gr.Request) -> None:
        """Cancel was pressed."""
        job = grid_job(self._service, job_id, call_in(request).sees)
        await self._service.cancel(job.id)

    @told
    async def opened(
        self, job_id: str, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, Any]:
        """A picture of the table was pressed."""
        call, pressed = call_in(request), pressed_in(event)
        if pressed.do != "open":
            return gr.skip(), gr.skip()
        job = grid_job(self._service, job_id, call.sees)
        names = grid_view(self._service, job)["result"]["pictures"]
        pictures = [await self._dialog.picture(call, name) for name in names]
        shown = Shown(pictures=tuple(pictures))
        return shown, await self._dialog.opened(call, shown, pressed.id)

    @told
    async def weighed(self, job_id: str, request: gr.Request, event: gr.EventData) -> Any:
        """A weight is to be used from now on."""
        call, pressed = call_in(request), pressed_in(event)
        if pressed.do != "weight":
            return going_to(self._parts)
        job = grid_job(self._service, job_id, call.sees)
        people = [
            {**one, "weight": float(pressed.id)} for one in job.request["request"].get("people", ())
        ]
        body = {"people": people}
        return await asyncio.to_thread(going_to, self._parts, "create", body, call.owner)


def _body(
    people: Sequence[str] | None,
    prompts: str,
    seeds: str,
    weights: str,
    width: float | None,
    height: float | None,
    steps: float | None,
) -> dict[str, Any]:
    request = {
        name: int(value)
        for name, value in (("width", width), ("height", height), ("steps", steps))
        if value
    }
    return grid_body(people or (), prompts, seeds, weights, request)


def _progress(job: Job, view: Mapping[str, Any]) -> str:
    """How far a grid is, in words."""
    table = view["result"]["table"]
    done = sum(bool(row["picture_id"]) for row in table)
    if job.status == "cancelled":
        return texts.GRID_CANCELLED.format(done=done, pictures=len(table))
    if job.status == "failed":
        return texts.GRID_FAILED.format(reason=job.error.message if job.error else "")
    said = texts.GRID_PROGRESS.format(done=done, pictures=len(table))
    if view["eta_s"]:
        said += ", " + texts.GRID_LEFT.format(time=time_text(view["eta_s"]))
    return said
