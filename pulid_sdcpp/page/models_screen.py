"""The screen Models: which presets there are, what fits this computer, and getting them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..errors import PulidError
from ..server.calls.preset_calls import (
    begin_unload,
    presets_view,
    pull_job,
    remove_preset,
    verify_preset,
)
from ..server.library.plan_process import FitsRequest
from ..system.size_text import described_size
from . import screen_texts as texts
from .gallery_html import ask_delete_html
from .live import html, live, pressed_in
from .models_html import models_html
from .screen_parts import EVENT, admin_in, call_in, going_to, told, told_step_by_step

if TYPE_CHECKING:
    from ..server.access.call import Call
    from ..server.service.service import PictureService
    from .parts import PageParts

__all__ = ["models_screen"]

_LOOK_S = 2.0
"""So often a running download is looked at."""


def models_screen(service: PictureService, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    screen = _ModelEvents(service, parts)
    gr.HTML(html("<p>{text}</p>", text=texts.MODELS_WHAT))
    notes = gr.State({})
    cards = live()
    dialog = live()
    parts.when_shown("models", screen.shown, outputs=[cards], trigger_mode="once")
    cards.act(screen.pressed, [notes], [cards, dialog, notes], **EVENT)
    cards.act(screen.tried, [], [parts.navigation, *parts.fields], **EVENT)
    dialog.act(screen.answered, [notes], [cards, dialog, notes], **EVENT)


class _ModelEvents:
    def __init__(self, service: PictureService, parts: PageParts) -> None:
        self._service = service
        self._parts = parts
        self._fits: dict[str, str] | None = None
        self._recommended = ""

    async def _cards(self, call: Call, notes: Mapping[str, str] | None = None) -> str:
        presets = await presets_view(self._service)
        return models_html(
            presets,
            fits=self._fits,
            recommended=self._recommended,
            downloads=self._downloads(),
            notes=notes,
            may_download=self._service.may_download,
            is_admin=call.is_admin,
        )

    def _downloads(self) -> dict[str, dict[str, Any]]:
        """How far the last download of each preset is; without those that ended well."""
        found: dict[str, dict[str, Any]] = {}
        for job in self._service.book.newest(None, limit=None):
            if job.kind == "download" and (name := str(job.request["preset"])) not in found:
                progress = self._service.hub.progress(job.id)
                found[name] = {
                    "status": job.status,
                    "job": job.id,
                    "running": not job.is_finished,
                    "file": texts.FILE_OF.format(number=progress.picture + 1, of=progress.pictures)
                    if progress and progress.pictures
                    else "",
                    "left_s": progress.eta_s if progress else None,
                    "error": job.error.message if job.error and job.status == "failed" else "",
                    "done": progress.step if progress else 0,
                    "size": progress.steps if progress else 0,
                }
        return {name: one for name, one in found.items() if one["status"] != "completed"}

    @told_step_by_step
    async def shown(self, request: gr.Request) -> AsyncIterator[str]:
        """The screen comes into sight: followed as long as something is downloaded."""
        call = call_in(request)
        yield await self._cards(call)
        if self._fits is None:
            await self._plan()
            yield await self._cards(call)
        async for cards in self._followed(call):
            yield cards

    async def _followed(self, call: Call) -> AsyncIterator[str]:
        last = ""
        while True:
            is_running = any(one["running"] for one in self._downloads().values())
            cards = await self._cards(call)
            if cards != last:
                yield (last := cards)
            if not is_running:
                return
            await asyncio.sleep(_LOOK_S)

    async def _plan(self) -> None:
        """Which presets fit this computer; planned once."""
        is_loaded = any(engine.model is not None for engine in self._service.engines)
        question = FitsRequest(self._service.models.models_dirs, is_loaded)
        try:
            found = await self._service.planner.ask(question)
        except PulidError:  # without the engine's library, for example
            found = {"recommended": "", "presets": {}}
        self._recommended = found["recommended"]
        self._fits = {name: one["verdict"] for name, one in found["presets"].items()}

    @told_step_by_step
    async def pressed(
        self, notes: dict[str, str], request: gr.Request, event: gr.EventData
    ) -> AsyncIterator[tuple[Any, Any, Any]]:
        """A button of a preset was pressed."""
        pressed = pressed_in(event)
        if pressed.do == "try":
            return
        call = admin_in(request)
        name, nothing = pressed.id, gr.skip()
        models = self._service.models
        if pressed.do == "pull":
            accepted = pressed.fields.get("accept", ())
            await pull_job(self._service, name, owner=call.owner, accept_licenses=accepted)
            async for cards in self._followed(call):
                yield cards, nothing, nothing
        elif pressed.do == "pause":
            if (download := self._downloads().get(name)) is not None:
                await self._service.cancel(download["job"])
            yield await self._cards(call), nothing, nothing
        elif pressed.do == "use":
            await asyncio.to_thread(models.switch, name)
            self._service.changed("model", call.owner, model=name)
            yield await self._cards(call), nothing, nothing
        elif pressed.do == "unload":
            await begin_unload(self._service)
            yield await self._cards(call), nothing, nothing
        elif pressed.do == "verify":
            notes = {**notes, name: texts.VERIFYING}
            yield await self._cards(call, notes), nothing, notes
            rows = await verify_preset(self._service, name)
            wrong = [f"{row['file']}: {row['problem']}" for row in rows if row["problem"]]
            notes = {**notes, name: "; ".join(wrong) or texts.VERIFIED.format(name=name)}
            yield await self._cards(call, notes), nothing, notes
        elif pressed.do == "ask-remove":
            presets = await presets_view(self._service)
            size = sum(one["size_bytes"] for one in presets if one["name"] == name)
            what = texts.REMOVE_WHAT.format(size=described_size(size))
            question = texts.REMOVE_ASK.format(name=name)
            yield nothing, ask_delete_html(question, what, "remove", name, texts.REMOVE), nothing

    @told
    async def tried(self, request: gr.Request, event: gr.EventData) -> Any:
        """The model that works at once is to be tried."""
        call, pressed = call_in(request), pressed_in(event)
        if pressed.do != "try":
            return going_to(self._parts)
        body = {"model": pressed.id}
        return await asyncio.to_thread(going_to, self._parts, "create", body, call.owner)

    @told
    async def answered(
        self, notes: dict[str, str], request: gr.Request, event: gr.EventData
    ) -> tuple[Any, Any, Any]:
        """A question was answered."""
        pressed = pressed_in(event)
        if pressed.do != "remove":
            return gr.skip(), "", gr.skip()
        call = admin_in(request)
        found = await remove_preset(self._service, pressed.id)
        said = texts.REMOVED.format(size=described_size(found["freed_bytes"]))
        notes = {**notes, pressed.id: said}
        return await self._cards(call, notes), "", notes
