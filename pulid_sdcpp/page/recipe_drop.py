"""Dropping any picture on the page to read how it was made, and to fill the form with that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from ..server.calls.recipe_answer import recipe_of_file
from . import screen_texts as texts
from .gallery_html import recipe_html
from .live import html, joined, live, pressed_in
from .photo_input import uploaded
from .screen_parts import EVENT, call_in, going_to, told, told_step_by_step

if TYPE_CHECKING:
    from ..server.service.service import PictureService
    from .parts import PageParts

__all__ = ["dropped_recipe_html", "recipe_drop"]

_DIALOG = """<dialog open class="ps-dialog" aria-labelledby="ps-recipe">
<h2 id="ps-recipe">{title}</h2>
{recipe}{notes}<div class="ps-row"><button type="button" class="ps-primary" data-do="use"
autofocus>{use}</button><button type="button" data-close>{close}</button></div></dialog>"""

_LIST = "<h3>{title}</h3><ul>{rows}</ul>"


def recipe_drop(service: PictureService, parts: PageParts) -> None:
    """Put it where the page is being built."""
    events = _RecipeEvents(service, parts)
    found = gr.State({})
    with gr.Accordion(texts.DROP_PNG, open=False):
        given = gr.File(label=texts.DROP_HELP, type="filepath", height=120)
    dialog = live()
    given.upload(events.read, [given], [given, found, dialog], **EVENT)
    dialog.act(events.closed, [], [dialog], **EVENT)
    dialog.act(events.used, [found], [parts.navigation, *parts.fields], **EVENT)


def dropped_recipe_html(found: Mapping[str, Any]) -> Markup:
    """How a picture was made.

    Args:
        found: As `POST /pulid/v1/recipe` answers.
    """
    request = found["request"]
    shown = {
        "prompt": request.get("prompt", ""),
        "seed": request.get("seed"),
        "preset": request.get("model", ""),
        "people": found["people"],
    }
    if "width" in request and "height" in request:
        shown |= {"width": request["width"], "height": request["height"]}
    missing = [one["file"] or one["field"] for one in found["files_missing"]]
    notes = [
        html(_LIST, title=title, rows=joined([html("<li>{}</li>", row) for row in rows]))
        for title, rows in (
            (texts.DIFFERENCES, found["differences"]),
            (texts.FILES_MISSING, missing),
        )
        if rows
    ]
    return html(
        _DIALOG,
        title=texts.RECIPE,
        recipe=recipe_html(shown),
        notes=joined(notes),
        use=texts.USE_SETTINGS,
        close=texts.CLOSE,
    )


class _RecipeEvents:
    def __init__(self, service: PictureService, parts: PageParts) -> None:
        self._service = service
        self._parts = parts

    @told_step_by_step
    async def read(
        self, path: str | None, request: gr.Request
    ) -> AsyncIterator[tuple[Any, Any, Any]]:
        """A picture was dropped; the field is empty again, whatever it was."""
        owner = call_in(request).owner
        content = await asyncio.to_thread(uploaded, path)
        yield None, gr.skip(), gr.skip()
        if content is not None:
            found = await asyncio.to_thread(recipe_of_file, self._service, owner, content)
            yield None, found, dropped_recipe_html(found)

    @told
    async def closed(self) -> str:
        """Something in the dialog was pressed."""
        return ""

    @told
    async def used(self, found: Mapping[str, Any], request: gr.Request, event: gr.EventData) -> Any:
        """The form is to be filled with it."""
        owner = call_in(request).owner
        if pressed_in(event).do != "use" or not found:
            return going_to(self._parts)
        body = dict(found["request"])
        return await asyncio.to_thread(going_to, self._parts, "create", body, owner)
