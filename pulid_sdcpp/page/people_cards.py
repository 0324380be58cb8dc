"""The cards of Create that say who is in the picture: a kept person, or a photo."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from ..options.facts import of
from ..options.identity_mode import identity_weight
from ..people.identity_options import IdentityOptions
from ..server.calls.enrolment import begin_enrolment
from ..server.errors import ApiError, api_error_of
from ..server.request.person_fields import PersonFields
from . import texts
from .card_choices import card_choices, example_portrait
from .live import html, live, pressed_in
from .people_form import CARD_VALUES
from .person_photo import PersonPhoto, faces_html, read_photo
from .photo_input import photo_input, uploaded
from .screen_parts import EVENT, call_in, told

__all__ = ["CARDS", "PeopleCards", "looks_of"]

CARDS = 8
_MOST_WEIGHT = of(IdentityOptions)["weight"].high


@dataclass(frozen=True)
class _Card:
    column: gr.Column
    who: gr.Dropdown
    photo: gr.Image
    faces: gr.HTML
    another: gr.Button
    weight: gr.Slider
    start_step: gr.Number
    end_step: gr.Number
    name: gr.Textbox
    keep: gr.Button
    kept: gr.HTML
    remove: gr.Button

    def values(self) -> list[Any]:
        return [getattr(self, name) for name in CARD_VALUES]


class PeopleCards:
    """The cards, put where the page is being built.

    Attributes:
        photos: State: a `PersonPhoto` for each card.
        shown: State: whether each card is there.
        model: State: the model whose own weight is on the cards where nobody changed it.
        values: Components of all cards, `VALUES` of the first, then of the second...
    """

    def __init__(self, service: Any) -> None:
        self._service = service
        count = min(service.limits.max_people, CARDS)
        self.photos = gr.State([PersonPhoto()] * count)
        self.shown = gr.State([True, *[False] * (count - 1)])
        self.model = gr.State("")
        self.cards = [self._card(number) for number in range(count)]
        self.add = gr.Button(texts.ADD_PERSON, size="sm", elem_id="add-person", visible=count > 1)
        self.values = [one for card in self.cards for one in card.values()]
        for number in range(count):
            self._connect(number)
        self.add.click(
            self._added,
            self.shown,
            [self.shown, self.add, *(card.column for card in self.cards)],
            **EVENT,
        )

    @property
    def looks(self) -> list[Any]:
        """Of all cards: the photo's field, the photo that was given, the button for another."""
        return [one for card in self.cards for one in (card.photo, card.faces, card.another)]

    @property
    def columns(self) -> list[gr.Column]:
        """The cards as they appear and disappear."""
        return [card.column for card in self.cards]

    def _card(self, number: int) -> _Card:
        title = texts.PERSON.format(number=number + 1)
        column = gr.Column(visible=number == 0, elem_classes="person-card")
        with column:
            with gr.Row(elem_classes="person-top"):
                gr.HTML(html("<h4>{}</h4>", title), apply_default_css=False)
                remove = gr.Button(f"{texts.REMOVE_PERSON} {title.lower()}", size="sm", min_width=0)
            who = gr.Dropdown(
                [(texts.FROM_PHOTO, "")],
                value="",
                label=texts.WHO,
                elem_id=f"who-{number}",
                filterable=False,
            )
            photo = photo_input(texts.PHOTO, height=200, elem_id=f"photo-{number}")
            faces = live(visible=False, elem_id=f"faces-{number}")
            another = gr.Button(texts.ANOTHER_PHOTO, size="sm", visible=False)
            weight = gr.Slider(
                0, _MOST_WEIGHT, 1, step=0.05, label=texts.WEIGHT, info=texts.WEIGHT_INFO
            )
            with gr.Accordion(texts.WHEN, open=False):
                with gr.Row():
                    start_step = gr.Number(
                        0, label=texts.START_STEP, info=texts.START_INFO, minimum=0, precision=0,
                        min_width=120,
                    )  # fmt: skip
                    end_step = gr.Number(
                        None, label=texts.END_STEP, info=texts.END_INFO, minimum=0, precision=0,
                        min_width=120,
                    )  # fmt: skip
                with gr.Row(equal_height=True):
                    name = gr.Textbox(label=texts.NAME, max_lines=1, max_length=100, min_width=120)
                    keep = gr.Button(texts.KEEP, size="sm", min_width=120)
                kept = gr.HTML("", apply_default_css=False, elem_id=f"kept-{number}")
        return _Card(
            *(column, who, photo, faces, another, weight),
            *(start_step, end_step, name, keep, kept, remove),
        )

    def _connect(self, number: int) -> None:
        card, events = self.cards[number], _CardEvents(self._service, number)
        looks = [card.photo, card.faces, card.another]
        card.who.change(events.chosen, [card.who, self.photos], looks, **EVENT)
        card.photo.change(events.given, [card.photo, self.photos], [self.photos, *looks], **EVENT)
        faces: Any = card.faces
        faces.act(events.face_pressed, self.photos, [self.photos, card.faces], **EVENT)
        card.another.click(events.emptied, self.photos, [self.photos, *looks], **EVENT)
        card.remove.click(
            events.removed,
            [self.photos, self.shown, self.model],
            [self.photos, self.shown, self.add, card.column, *card.values(), *looks],
            **EVENT,
        )
        card.keep.click(
            events.kept,
            [card.who, card.name, self.photos, self.model],
            [self.photos, card.who, *looks, card.kept],
            **EVENT,
        )

    async def _added(self, shown: list[bool]) -> list[Any]:
        if not all(shown):  # the button may be pressed faster than it disappears
            number = shown.index(False)
            shown = [*shown[:number], True, *shown[number + 1 :]]
        return [
            shown,
            gr.update(visible=not all(shown)),
            *(gr.update(visible=is_) for is_ in shown),
        ]


class _CardEvents:
    """What the events of one card do."""

    def __init__(self, service: Any, number: int) -> None:
        self._service = service
        self._number = number

    async def removed(
        self, photos: list[PersonPhoto], shown: list[bool], model: str = ""
    ) -> list[Any]:
        shown = [*shown[: self._number], False, *shown[self._number + 1 :]]
        photos = _with(photos, self._number, PersonPhoto())
        hidden = gr.update(visible=False)
        looks = [gr.update(value=None, visible=True), gr.update(value="", visible=False), hidden]
        own_weight = identity_weight(await asyncio.to_thread(self._service.models.encoders, model))
        # For the next one.
        emptied = [gr.update(value=value) for value in ("", own_weight, 0, None, "")]
        return [photos, shown, gr.update(visible=True), hidden, *emptied, *looks]

    async def chosen(self, who: str, photos: list[PersonPhoto]) -> list[Any]:
        return looks_of(photos[self._number], who)

    @told
    async def given(self, path: str | None, photos: list[PersonPhoto]) -> list[Any]:
        content = await asyncio.to_thread(uploaded, path)
        if content is None:
            return [gr.skip()] * 4
        photo = await read_photo(self._service, content)
        photos = _with(photos, self._number, replace(photo, mask=photos[self._number].mask))
        looks = looks_of(photos[self._number], "")
        return [photos, gr.update(value=None, visible=False), *looks[1:]]

    async def face_pressed(self, photos: list[PersonPhoto], event: gr.EventData) -> list[Any]:
        photo = photos[self._number]
        wanted = pressed_in(event).id
        faces = photo.looked_at.faces if photo.looked_at is not None else ()
        if wanted not in {str(face.number) for face in faces}:
            return [gr.skip(), gr.skip()]
        photo = replace(photo, face=int(wanted))
        return [_with(photos, self._number, photo), str(faces_html(photo))]

    async def emptied(self, photos: list[PersonPhoto]) -> list[Any]:
        photos = _with(photos, self._number, PersonPhoto(mask=photos[self._number].mask))
        return [photos, *looks_of(photos[self._number], "")]

    async def kept(
        self,
        request: gr.Request,
        who: str,
        name: str,
        photos: list[PersonPhoto],
        model: str = "",
    ) -> list[Any]:
        """Keep the person of the photo by name, for the form's model, and have the card be of that
        person."""
        owner = call_in(request).owner
        try:
            person_id = await self._enrolled(owner, who, name.strip(), photos[self._number], model)
        except Exception as error:
            message = api_error_of(error).message
            said = html('<p class="field-error" role="alert">{}</p>', message)
            return [*[gr.skip()] * 5, str(said)]
        choices = await asyncio.to_thread(card_choices, self._service, owner)
        photos = _with(photos, self._number, PersonPhoto(mask=photos[self._number].mask))
        said = html('<p class="field-note" role="status">{}</p>', texts.KEPT_AS.format(name=name))
        chosen = gr.update(choices=choices, value=person_id)
        return [photos, chosen, *looks_of(photos[self._number], person_id), str(said)]

    async def _enrolled(
        self, owner: str, who: str, name: str, photo: PersonPhoto, model: str
    ) -> str:
        """The id of the person that is kept now.

        Raises:
            ApiError, or as the job failed.
        """
        if not name:
            raise ApiError("invalid_value", texts.NAME_NEEDED, "name")
        if (example := example_portrait(who)) is not None:
            photo = await read_photo(self._service, example)
        elif who:
            person = await asyncio.to_thread(self._service.people.rename, owner, who, name)
            self._service.changed("identity", owner, id=person.id)
            return str(person.id)
        if photo.picture is None:
            raise ApiError("invalid_value", texts.PHOTO_NEEDED, "photo")
        if photo.has_no_face:
            raise ApiError("no_face", texts.NO_FACE, "photo")
        face = photo.face if photo.looked_at is not None else None
        job = await begin_enrolment(
            self._service,
            owner,
            PersonFields(photos=(photo.picture,), face=face),
            {photo.picture.sha256: photo.picture.png},
            name=name,
            model=model,
        )
        job = await self._service.finished(job.id)
        if job.error is not None or job.status != "completed":
            failure = job.error
            raise ApiError(
                failure.code if failure is not None else "cancelled",
                failure.message if failure is not None else texts.CANCELLED,
            )
        return str(job.result["id"])


def looks_of(photo: PersonPhoto, who: str) -> list[Any]:
    """The photo's field, or the photo with its faces; neither for a kept person."""
    is_photo = not who
    has_photo = is_photo and photo.is_somebody
    return [
        gr.update(visible=is_photo and not has_photo),
        gr.update(value=str(faces_html(photo)) if has_photo else "", visible=has_photo),
        gr.update(visible=has_photo),
    ]


def _with(photos: Sequence[PersonPhoto], number: int, photo: PersonPhoto) -> list[PersonPhoto]:
    return [*photos[:number], photo, *photos[number + 1 :]]
