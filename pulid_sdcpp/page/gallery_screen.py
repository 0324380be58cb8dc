"""The screen Gallery: pictures to look through, and what can be done with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from . import screen_texts as texts
from .gallery_html import ask_delete_html
from .gallery_state import PAGE, Shown, page_picture
from .live import live, pressed_in
from .people_html import name_of
from .picture_dialog import PictureDialog
from .recipe_drop import recipe_drop
from .screen_parts import EVENT, call_in, told

if TYPE_CHECKING:
    from ..server.access.call import Call
    from ..server.service.service import PictureService
    from .parts import PageParts

__all__ = ["gallery_screen"]

_SEARCH_ID = "gallery-search"


def gallery_screen(service: PictureService, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    with gr.Row(elem_classes="ps-filters"):
        search = gr.Textbox(
            label=texts.SEARCH, info=texts.SEARCH_HELP, elem_id=_SEARCH_ID, scale=3, max_lines=1
        )
        person = gr.Dropdown([(texts.EVERYBODY, "")], value="", label=texts.BY_PERSON, scale=2)
        favourite = gr.Checkbox(label=texts.ONLY_FAVOURITES, scale=1, min_width=160)
    recipe_drop(service, parts)
    shown = gr.State(Shown())
    cards = live(search=_SEARCH_ID)
    dialog = PictureDialog(service, parts, shown, cards, Shown.grid)
    screen = _GalleryEvents(service, dialog)
    filters = [search, person, favourite]
    event = {**EVENT, "trigger_mode": "always_last"}
    gr.on(
        [search.change, person.input, favourite.input],
        screen.searched,
        filters,
        [shown, cards],
        **event,
    )
    parts.when_shown("gallery", screen.shown, inputs=filters, outputs=[shown, cards, person])
    for follows in ("actions", "latest"):  # they change as a picture is made
        parts.shared_html[follows].change(screen.refreshed, [shown], [shown, cards], **event)
    cards.act(screen.pressed, [shown], [shown, cards, dialog.dialog], **EVENT)


class _GalleryEvents:
    def __init__(self, service: PictureService, dialog: PictureDialog) -> None:
        self._service = service
        self._dialog = dialog

    async def _more(self, call: Call, shown: Shown) -> Shown:
        """With the next page."""
        found = await asyncio.to_thread(
            self._service.gallery.pictures,
            call.sees,
            before=shown.pictures[-1]["id"] if shown.pictures else "",
            limit=PAGE + 1,
            q=shown.q,
            person=shown.person,
            favourite=True if shown.favourite else None,
        )
        return shown.with_page([page_picture(one) for one in found])

    @told
    async def searched(
        self, q: str | None, person: str | None, favourite: bool, request: gr.Request
    ) -> tuple[Shown, str]:
        """Another search."""
        shown = await self._more(call_in(request), Shown(q or "", person or "", favourite))
        return shown, shown.grid()

    @told
    async def shown(
        self, q: str | None, person: str | None, favourite: bool, request: gr.Request
    ) -> tuple[Shown, str, Any]:
        """The screen comes into sight: with new pictures, and new people to choose."""
        call = call_in(request)
        people = await asyncio.to_thread(self._service.people.people, call.owner)
        names = {one.id: name_of(one) for one in people}
        person = person if person in names else ""
        shown = await self._more(call, Shown(q or "", person or "", favourite))
        choices = [(texts.EVERYBODY, ""), *((name, its_id) for its_id, name in names.items())]
        return shown, shown.grid(), gr.Dropdown(choices=choices, value=person)

    @told
    async def refreshed(self, shown: Shown, request: gr.Request) -> tuple[Any, Any]:
        """A picture was made: it comes before those that are shown."""
        now = shown.with_newest(await self._more(call_in(request), shown.again()))
        return (now, now.grid()) if now.pictures != shown.pictures else (gr.skip(), gr.skip())

    @told
    async def pressed(
        self, shown: Shown, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, Any, Any]:
        """Something among the thumbnails was pressed."""
        call, pressed = call_in(request), pressed_in(event)
        nothing = gr.skip()
        if pressed.do == "more" and shown.more:
            shown = await self._more(call, shown)
            return shown, shown.grid(), nothing
        if pressed.do == "open":
            return nothing, nothing, await self._dialog.opened(call, shown, pressed.id)
        if pressed.do == "ask-delete" and pressed.picked:
            count = len(pressed.picked)
            question = texts.DELETE_ASK.format(count=count) if count > 1 else texts.DELETE_ONE_ASK
            asked = ask_delete_html(question, texts.DELETE_WHAT, "delete")
            return replace(shown, asked=pressed.picked), nothing, asked
        return nothing, nothing, nothing
