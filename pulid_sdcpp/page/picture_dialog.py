"""One picture on the screen, over the gallery or a grid: looking, measuring, using, removing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..server.calls.picture_calls import mark_picture, remove_picture
from ..server.errors import ApiError
from ..server.service.job_request import IDENTITY_SUFFIX, folder_request
from . import screen_texts as texts
from .gallery_html import ask_delete_html
from .gallery_state import Shown, page_picture
from .live import live, pressed_in
from .screen_parts import EVENT, call_in, going_to, told
from .start_picture import painted_value

if TYPE_CHECKING:
    from ..server.access.call import Call
    from ..server.jobs.jobs import Job
    from ..server.request.normal_request import NormalRequest
    from ..server.service.service import PictureService
    from .parts import PageParts

__all__ = ["PictureDialog", "picture_again", "settings_of_picture"]

_USES = ("use", "other-seed", "start")


class PictureDialog:
    """Shows one picture of those that a screen shows.

    Args:
        service: Whose pictures.
        parts: Of the page.
        shown: What the screen shows, a state with a `Shown`.
        screen: The component that shows it.
        redraw: Gives the value of `screen` when a picture has changed or is gone.
    """

    def __init__(
        self,
        service: PictureService,
        parts: PageParts,
        shown: gr.State,
        screen: gr.HTML,
        redraw: Callable[[Shown], Any],
    ) -> None:
        self._service = service
        self._parts = parts
        self._redraw = redraw
        self.dialog = live()
        self.dialog.act(self.pressed, [shown], [shown, screen, self.dialog], **EVENT)
        self.dialog.act(self.used, [], [parts.navigation, *parts.fields], **EVENT)

    async def picture(self, call: Call, its_id: str) -> dict[str, Any]:
        """One that the caller may see.

        Raises:
            ApiError: not_found.
        """

        def read() -> dict[str, Any]:
            found = self._service.gallery.picture(its_id, call.sees)
            return page_picture(found, self._service.people.names_by_id(found.job.owner))

        return await asyncio.to_thread(read)

    async def opened(self, call: Call, shown: Shown, its_id: str) -> str:
        """The dialog with a picture."""
        return shown.dialog(await self.picture(call, its_id))

    @told
    async def pressed(
        self, shown: Shown, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, Any, Any]:
        """Something in the dialog was pressed."""
        call, pressed = call_in(request), pressed_in(event)
        nothing = gr.skip()
        if pressed.do in ("back", "next"):
            beside = shown.beside(pressed.id, -1 if pressed.do == "back" else 1)
            return nothing, nothing, await self.opened(call, shown, beside) if beside else nothing
        if pressed.do == "favourite":
            favourite = not (await self.picture(call, pressed.id))["favourite"]
            await mark_picture(self._service, pressed.id, call.sees, favourite=favourite)
            return self._changed(shown, await self.picture(call, pressed.id))
        if pressed.do == "again":
            await picture_again(self._service, pressed.id, call)
            view = await self.picture(call, pressed.id)
            return nothing, nothing, shown.dialog(view, texts.MADE_AGAIN)
        if pressed.do == "measure":
            view = await self.picture(call, pressed.id)
            job = self._service.job(view["job_id"], call.sees)
            job = await self._service.submit_other("score", job.owner, {"picture": pressed.id})
            job = await self._service.finished(job.id)
            note = "" if job.error is None else texts.FAILED.format(reason=job.error.message)
            return self._changed(shown, await self.picture(call, pressed.id), note)
        if pressed.do == "ask-delete":
            question = ask_delete_html(texts.DELETE_ONE_ASK, texts.DELETE_WHAT, "delete")
            return replace(shown, asked=(pressed.id,)), nothing, question
        if pressed.do == "delete":
            for its_id in shown.asked:
                await self._remove(its_id, call)
                shown = shown.without([its_id])
            return shown, self._redraw(shown), ""
        if pressed.do == "closed" or pressed.do in _USES:
            return replace(shown, asked=()), nothing, ""
        return nothing, nothing, nothing

    async def _remove(self, its_id: str, call: Call) -> None:
        """Remove a picture; one that another page has removed is as good as removed."""
        try:
            await remove_picture(self._service, its_id, call.sees)
        except ApiError as error:
            if error.code not in ("not_found", "expired"):
                raise

    def _changed(self, shown: Shown, picture: dict[str, Any], note: str = "") -> tuple[Any, ...]:
        shown = shown.with_picture(picture)
        return shown, self._redraw(shown), shown.dialog(picture, note)

    @told
    async def used(self, request: gr.Request, event: gr.EventData) -> Any:
        """The form is to be filled with a picture's settings."""
        call, pressed = call_in(request), pressed_in(event)
        if pressed.do not in _USES:
            return going_to(self._parts)
        job, made, path = self._service.picture(pressed.id, call.sees)
        if pressed.do == "start":
            content = await asyncio.to_thread(path.read_bytes)
            *others, _ = self._parts.fields  # the last is the picture to start from
            start = await asyncio.to_thread(painted_value, content)
            return ["create", *(gr.skip() for _ in others), start]
        body = settings_of_picture(job.request, made.seed)
        if pressed.do == "other-seed":
            body["seed"] = -1
        return await asyncio.to_thread(going_to, self._parts, "create", body, call.owner)


def settings_of_picture(request: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The body of a request for one picture of a job.

    Args:
        request: The job's.
        seed: The picture's.
    """
    body = {name: value for name, value in request.items() if name != "batch_count"}
    return {**body, "seed": seed}


async def picture_again(
    service: PictureService, name: str, call: Call, *, other_seed: bool = False
) -> Job:
    """Have a picture made once more, with all that it was made with.

    Args:
        name: The picture's id.
        call: Whose the new one is.
        other_seed: With another seed, for another picture.

    Raises:
        ApiError: As `PictureService.picture` and `PictureService.submit`; "not_found": a file that
            it was made with is gone.
    """
    job, made, path = service.picture(name, call.sees)
    folder, models = path.parent, service.models

    def read() -> tuple[NormalRequest, dict[str, bytes]]:
        body = settings_of_picture(job.request, -1 if other_seed else made.seed)
        request = folder_request(body, folder, models.settings(), models.default)
        contents = {}
        for kept in request.kept:
            names = (f"{kept.sha256}.png", f"{kept.sha256}{IDENTITY_SUFFIX}")
            found = next((folder / one for one in names if (folder / one).is_file()), None)
            if found is None:
                raise ApiError("not_found", texts.NOT_AGAIN)
            contents[kept.sha256] = found.read_bytes()
        return request, contents

    request, contents = await asyncio.to_thread(read)
    return await service.submit(request, contents, owner=call.owner)
