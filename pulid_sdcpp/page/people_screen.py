"""The screen People: who is kept, and adding somebody from photos."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..identity.encoder import models_of_encoder
from ..identity.fusion import DEFAULT_FUSION
from ..server.bodies.safe_names import name_of_person
from ..server.calls.enrolment import begin_enrolment
from ..server.calls.forgotten_person import forget_person
from ..server.errors import ApiError
from ..server.request.people_fields import people_in
from ..server.request.request_files import RequestFiles
from . import screen_texts as texts
from .gallery_html import ask_delete_html
from .given_photos import GivenPhoto, enrolment_values, given_photo, read_given
from .live import html, live, pressed_in
from .people_html import adding_html, ask_name_html, name_of, people_html
from .screen_parts import EVENT, call_in, going_to, told, told_step_by_step

if TYPE_CHECKING:
    from ..server.access.call import Call
    from ..server.library.library_person import LibraryPerson
    from ..server.library.served_models import ServedModels
    from ..server.request.person_fields import PersonFields
    from ..server.service.service import PictureService
    from .parts import PageParts

__all__ = ["kinds_of_models", "people_screen"]


def people_screen(service: PictureService, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    screen = _PeopleEvents(service, parts)
    gr.HTML(html("<p>{what} {consent}</p>", what=texts.PEOPLE_WHAT, consent=texts.CONSENT))
    given = gr.State(())
    wanted = parts.shared["grid_person"] = gr.State("")
    with gr.Accordion(texts.ADD_PERSON, open=False):
        with gr.Column() as place:
            photos = gr.File(
                label=texts.PHOTOS.format(most=service.limits.max_photos),
                file_count="multiple",
                file_types=[".jpg", ".jpeg", ".png", ".webp"],  # iOS then converts HEIC by itself
                type="filepath",
                height=140,
            )
        adding = live()
        status = gr.HTML(_said(""))
    cards = live()
    dialog = live()
    parts.when_shown("people", screen.shown, outputs=[cards])
    photos.upload(screen.looked, [photos], [photos, place, given, adding, status], **EVENT)
    adding.act(screen.kept, [given], [photos, place, given, adding, status, cards], **EVENT)
    cards.act(screen.pressed, [], [dialog, wanted], **EVENT)
    cards.act(screen.used, [parts.shared["model"]], [parts.navigation, *parts.fields], **EVENT)
    dialog.act(screen.answered, [], [dialog, cards], **EVENT)


def kinds_of_models(models: ServedModels) -> dict[str, str]:
    """One model of each kind for which people can be kept, the server's own first, with its kind.

    Reads a disk.
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys((models.default, *models.settings())):
        encoders = models.encoders(name)
        kind = ", ".join(map(models_of_encoder, encoders))
        if kind and kind not in found.values():
            found[name] = kind
    return found


def _empty() -> tuple[Any, Any]:
    """The field for photos and its place, for the next person. It is hidden while it has some: what
    Gradio lists them with cannot be used by keyboard alone."""
    return gr.update(value=None), gr.update(visible=True)


def _remove_photos(given: Sequence[GivenPhoto]) -> None:
    for photo in given:
        Path(photo.path).unlink(missing_ok=True)


def _said(text: str) -> str:
    return html('<p role="status" class="ps-note">{text}</p>', text=text)


class _PeopleEvents:
    def __init__(self, service: PictureService, parts: PageParts) -> None:
        self._service = service
        self._parts = parts

    async def _cards(self, call: Call) -> str:
        return people_html(await asyncio.to_thread(self._service.people.people, call.owner))

    @told
    async def shown(self, request: gr.Request) -> str:
        """The screen comes into sight."""
        return await self._cards(call_in(request))

    @told_step_by_step
    async def looked(
        self, photos: Sequence[str] | None, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Photos were given: which faces are in them."""
        call_in(request)
        paths = list(photos or ())[: self._service.limits.max_photos]
        if not paths:
            return
        yield gr.skip(), gr.update(visible=False), (), "", _said(texts.READING)
        found = []
        try:
            for path in paths:
                png = await asyncio.to_thread(read_given, path, self._service.limits)
                looked_at = await self._service.looks.find(png)
                found.append(await asyncio.to_thread(given_photo, path, png, looked_at))
        except Exception:
            yield *_empty(), (), "", _said("")
            raise
        models = await asyncio.to_thread(kinds_of_models, self._service.models)
        form = adding_html(found, models)
        yield gr.skip(), gr.update(visible=False), tuple(found), form, _said("")

    @told_step_by_step
    async def kept(
        self, given: Sequence[GivenPhoto], request: gr.Request, event: gr.EventData
    ) -> AsyncIterator[tuple[Any, ...]]:
        """The form below the photos was pressed."""
        call, pressed = call_in(request), pressed_in(event)
        nothing = gr.skip()
        if pressed.do == "reset":
            _remove_photos(given)
            yield *_empty(), (), "", _said(""), nothing
        if pressed.do != "keep" or not given:
            return
        faces = [
            photo.chosen(pressed.text(f"face-{number}")) for number, photo in enumerate(given, 1)
        ]
        yield nothing, nothing, nothing, nothing, _said(texts.EXTRACTING), nothing
        name, fusion = pressed.text("name"), pressed.text("fusion") or DEFAULT_FUSION
        model = pressed.text("model")
        person = await self._enrolled(call, given, faces, name=name, fusion=fusion, model=model)
        _remove_photos(given)
        said = _said(texts.KEPT.format(name=name_of(person)))
        yield *_empty(), (), "", said, await self._cards(call)

    @told
    async def pressed(self, request: gr.Request, event: gr.EventData) -> tuple[Any, Any]:
        """A button of somebody's card was pressed."""
        call, pressed = call_in(request), pressed_in(event)
        if pressed.do in ("ask-name", "ask-forget", "grid"):
            person = await asyncio.to_thread(self._service.people.find, call.owner, pressed.id)
            if pressed.do == "ask-name":
                return ask_name_html(person.name), gr.skip()
            if pressed.do == "grid":
                return gr.skip(), person.name
            question = texts.FORGET_ASK.format(name=name_of(person))
            asked = ask_delete_html(
                question, texts.FORGET_WHAT, "forget", person.name, texts.FORGET
            )
            return asked, gr.skip()
        return gr.skip(), gr.skip()

    @told
    async def used(self, model: str, request: gr.Request, event: gr.EventData) -> Any:
        """Somebody is to be in the next picture, or in a grid.

        Args:
            model: Of the form of Create, whose weight the person has there.
        """
        call, pressed = call_in(request), pressed_in(event)
        if pressed.do == "grid":
            return going_to(self._parts, "grid")
        if pressed.do != "use":
            return going_to(self._parts)
        body: dict[str, Any] = {"people": [{"identity": pressed.id}]}
        if model:
            body["model"] = model
        return await asyncio.to_thread(going_to, self._parts, "create", body, call.owner)

    @told
    async def answered(self, request: gr.Request, event: gr.EventData) -> tuple[Any, Any]:
        """A question was answered."""
        call, pressed = call_in(request), pressed_in(event)
        people = self._service.people
        if pressed.do == "rename":
            await asyncio.to_thread(people.rename, call.owner, pressed.id, pressed.text("name"))
        elif pressed.do == "forget":
            await forget_person(self._service, call.owner, pressed.id)
        elif pressed.do != "closed":
            return gr.skip(), gr.skip()
        return "", gr.skip() if pressed.do == "closed" else await self._cards(call)

    async def _enrolled(
        self,
        call: Call,
        given: Sequence[GivenPhoto],
        faces: Sequence[int],
        *,
        name: str,
        fusion: str,
        model: str,
    ) -> LibraryPerson:
        """The person of some photos, who is kept then."""
        limits, library = self._service.limits, self._service.people
        if name:
            name_of_person(name, param="name")

        def read() -> tuple[PersonFields, RequestFiles]:
            pngs = [read_given(photo.path, limits) for photo in given]
            values, parts = enrolment_values(given, pngs, faces, fusion)
            files = RequestFiles(limits, parts=parts)
            people, _ = people_in(values, files.readers, limits)
            return people[0], files

        person, files = await asyncio.to_thread(read)
        job = await begin_enrolment(
            self._service,
            call.owner,
            person,
            files.contents,
            name=name,
            model=model,
            client="page",
        )
        job = await self._service.finished(job.id)
        if job.error is not None:
            raise ApiError(job.error.code, job.error.message, job.error.param)
        return await asyncio.to_thread(library.find, call.owner, name or str(job.result["id"]))
