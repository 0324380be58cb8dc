"""The cards of Create that say who is in the picture: a kept person, or a photo."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from ..server.errors import ApiError
from . import texts
from .example_people import example_portrait, name_of_example
from .live import html, live, pressed_in
from .person_photo import PersonPhoto, faces_html, read_photo
from .photo_input import photo_input, uploaded
from .screen_parts import EVENT, told

__all__ = ["CARDS", "PeopleCards", "people_in_form"]

CARDS = 8

_VALUES = ("who", "weight", "start_step", "end_step", "name")
"""What a card has of values that are remembered."""


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
    remove: gr.Button

    def values(self) -> list[Any]:
        return [getattr(self, name) for name in _VALUES]


class PeopleCards:
    """The cards, put where the page is being built.

    Attributes:
        photos: State: a `PersonPhoto` for each card.
        shown: State: whether each card is there.
        values: Components of all cards, `VALUES` of the first, then of the second...
    """

    def __init__(self, service: Any) -> None:
        self._service = service
        count = min(service.limits.max_people, CARDS)
        self.photos = gr.State([PersonPhoto()] * count)
        self.shown = gr.State([True, *[False] * (count - 1)])
        self.cards = [self._card(number) for number in range(count)]
        self.add = gr.Button(texts.ADD_PERSON, size="sm", elem_id="add-person")
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
            weight = gr.Slider(0, 3, 1, step=0.05, label=texts.WEIGHT, info=texts.WEIGHT_INFO)
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
        return _Card(
            column, who, photo, faces, another, weight, start_step, end_step, name, keep, remove
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
            [self.photos, self.shown],
            [self.photos, self.shown, self.add, card.column, card.who, *looks],
            **EVENT,
        )

    async def _added(self, shown: list[bool]) -> list[Any]:
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

    async def removed(self, photos: list[PersonPhoto], shown: list[bool]) -> list[Any]:
        shown = [*shown[: self._number], False, *shown[self._number + 1 :]]
        photos = _with(photos, self._number, PersonPhoto())
        hidden = gr.update(visible=False)
        looks = [gr.update(value=None, visible=True), gr.update(value="", visible=False), hidden]
        return [photos, shown, gr.update(visible=True), hidden, gr.update(value=""), *looks]

    async def chosen(self, who: str, photos: list[PersonPhoto]) -> list[Any]:
        return self._looks(photos[self._number], who)

    @told
    async def given(self, path: str | None, photos: list[PersonPhoto]) -> list[Any]:
        content = await asyncio.to_thread(uploaded, path)
        if content is None:
            return [gr.skip()] * 4
        photo = await read_photo(self._service, content)
        photos = _with(photos, self._number, replace(photo, mask=photos[self._number].mask))
        return [photos, *self._looks(photos[self._number], "")]

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
        return [photos, *self._looks(photos[self._number], "")]

    def _looks(self, photo: PersonPhoto, who: str) -> list[Any]:
        """The photo's field, or the photo with its faces; neither for a kept person."""
        is_photo = not who
        has_photo = is_photo and photo.picture is not None
        return [
            gr.update(value=None, visible=is_photo and not has_photo),
            gr.update(value=str(faces_html(photo)) if has_photo else "", visible=has_photo),
            gr.update(visible=has_photo),
        ]


def _with(photos: Sequence[PersonPhoto], number: int, photo: PersonPhoto) -> list[PersonPhoto]:
    return [*photos[:number], photo, *photos[number + 1 :]]


def people_in_form(
    values: Sequence[Any],
    photos: Sequence[PersonPhoto],
    shown: Sequence[bool],
    boxes: Mapping[int, Sequence[float]],
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The people of a body, and the files that it names.

    Args:
        values: Of the cards' components, as `PeopleCards.values`.
        photos, shown: The states.
        boxes: Places of people, by card.

    Raises:
        ApiError: no_face.
    """
    people: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, is_shown in enumerate(shown):
        one = dict(zip(_VALUES, values[number * len(_VALUES) :], strict=False))
        photo = photos[number]
        if not is_shown or (not one["who"] and photo.picture is None):
            continue
        place = f"people[{len(people)}]"
        person: dict[str, Any] = {
            "weight": one["weight"],
            "start_step": int(one["start_step"] or 0),
        }
        if one["end_step"] is not None:
            person["end_step"] = int(one["end_step"])
        if one["name"] and not one["who"]:
            person["name"] = one["name"].strip()
        if (example := example_portrait(one["who"] or "")) is not None:
            files[f"photo_{number}"] = example
            person |= {"photo": f"file:photo_{number}", "name": name_of_example(one["who"])}
        elif one["who"]:
            person["identity"] = one["who"]
        else:
            if photo.has_no_face:
                raise ApiError("no_face", texts.NO_FACE, f"{place}.photo")
            assert photo.picture is not None
            files[f"photo_{number}"] = photo.picture.png
            person["photo"] = f"file:photo_{number}"
            if photo.looked_at is not None:
                person["face"] = photo.face
        if photo.mask:
            files[f"mask_{number}"] = photo.mask
            person["region"] = {"mask": f"file:mask_{number}"}
        elif number in boxes:
            person["region"] = {"box": list(boxes[number])}
        people.append(person)
    return people, files
