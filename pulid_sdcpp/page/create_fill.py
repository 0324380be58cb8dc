"""The Create screen's values for a body, for the form last used, and for a model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from ..options.identity_mode import identity_weight
from ..options.step_point import step_at
from ..server.calls.capabilities import loras_of
from . import texts
from .card_choices import card_choices
from .create_form import CreateFields, has_guidance
from .earlier_files import earlier_file
from .form import (
    ID_MODE_FIELDS,
    LORA_ROWS,
    NAMES,
    default_of,
    form_of_body,
    has_modes,
    shape_of,
)
from .people_cards import PeopleCards, looks_of
from .person_photo import PersonPhoto
from .region_stage import boxes_in, stage_value
from .start_picture import painted_value

__all__ = ["CreateFill"]


SIZES = ("width", "height")
"""Their arrows step as far as the model's sizes are apart."""


class CreateFill:
    """Fills the screen.

    Args:
        service: Whose models and people there are to choose from.
        fields, cards, stage: Of the screen.
    """

    def __init__(
        self, service: Any, fields: CreateFields, cards: PeopleCards, stage: gr.HTML
    ) -> None:
        self._service = service
        self._fields = fields
        self._cards = cards
        self._stage = stage

    @property
    def outputs(self) -> list[Any]:
        """The components that `values` is for."""
        fields, cards = self._fields, self._cards
        return [
            *fields.values,
            fields.shape,
            *cards.values,
            cards.photos,
            cards.shown,
            cards.model,
            *cards.columns,
            *cards.looks,
            self._stage,
            fields.start,
        ]

    def settings(self, model: Any) -> tuple[str, Mapping[str, Any]]:
        """A model that there is, and its settings."""
        models = self._service.models.settings()
        name = model if model in models else self._service.models.default
        return name, models.get(name, {})

    def encoders(self, model: str) -> Sequence[str]:
        """Whose identities a model takes: what is for SDXL only goes by them."""
        found: Sequence[str] = self._service.models.encoders(model)
        return found

    def size_multiple(self, model: str) -> int:
        """What the sides of a model's pictures are multiples of, in pixels."""
        found: int = self._service.models.size_multiple(model)
        return found

    def values(self, body: dict[str, Any], owner: str) -> list[Any]:
        """The values for a body of `POST /sdcpp/v1/img_gen`; a photo in it is not there any more.

        Args:
            body: Without a model or a prompt, those of the form stay, and weights that are not said
                are those of its model. With people and at most the form's model, everything but
                people stays.
            owner: Whose people are chosen from.
        """
        model, settings = self.settings(body.get("model"))
        form = form_of_body({"seed": -1, **body}, settings, self.encoders(model))
        form["model"] = model
        keeps = {name for name in ("model", "prompt") if name not in body}
        if set(body) <= {"people", "pulid"} or set(body) == {"people", "model"}:
            keeps = set(NAMES)
        start = gr.skip() if len(keeps) == len(NAMES) else self._start(body, owner)
        weight = None if "model" in body else gr.skip()  # the form's model is not known here
        updates = self._updates(form, body.get("people"), owner, keeps, start, weight)
        if "model" not in body:
            updates[self.outputs.index(self._cards.model)] = gr.skip()
        return updates

    def _start(self, body: Mapping[str, Any], owner: str) -> Any:
        """The picture to start from, with its mask; None: there is none, or it is gone."""
        picture = earlier_file(self._service, owner, body.get("init_image"))
        if picture is None:
            return None
        return painted_value(picture, earlier_file(self._service, owner, body.get("mask_image")))

    def _updates(
        self,
        form: Mapping[str, Any],
        people: Any,
        owner: str,
        keeps: set[str],
        start: Any = None,
        weight: Any = None,
    ) -> list[Any]:
        """`weight`: of people of whom none is said; None: the model's own."""
        _, settings = self.settings(form["model"])
        encoders = self.encoders(form["model"])
        visible = {name: has_modes(encoders) for name in ID_MODE_FIELDS}
        visible["guidance"] = has_guidance(form["model"], settings, encoders)
        step = self.size_multiple(form["model"])
        updates = [
            gr.skip()
            if name in keeps
            else gr.update(value=form[name], visible=visible[name])
            if name in visible
            else gr.update(value=form[name], step=step, minimum=step)
            if name in SIZES
            else gr.update(value=form[name])
            for name in NAMES
        ]
        keeps_size = "width" in keeps
        shape = gr.skip() if keeps_size else shape_of(form["width"], form["height"])
        ratio = form["width"] / max(form["height"], 1)
        return [*updates, shape, *self._people(people, owner, ratio, form, weight), start]

    def _people(
        self,
        people: Any,
        owner: str,
        ratio: float,
        form: Mapping[str, Any],
        weight: Any,
    ) -> list[Any]:
        """The cards' values, the three states, the columns, the looks, and the stage."""
        steps = form["steps"]
        own_weight = identity_weight(self.encoders(form["model"])) if weight is None else weight
        count = len(self._cards.cards)
        rows = [one for one in people or () if isinstance(one, Mapping)][:count]
        choices = card_choices(self._service, owner)
        values: list[Any] = []
        looks: list[Any] = []
        stage = []
        photos = [PersonPhoto()] * count
        lost = False
        for number in range(count):
            person = rows[number] if number < len(rows) else {}
            who, more = self._who(person, choices, owner)
            region = person.get("region")
            region = region if isinstance(region, Mapping) else {}
            photos[number] = PersonPhoto(
                embedding=earlier_file(self._service, owner, person.get("embedding")) or b"",
                mask=earlier_file(self._service, owner, region.get("mask")) or b"",
            )
            lost |= bool(person) and not who and not photos[number].is_somebody
            values += [
                gr.update(choices=[*choices, *more], value=who),
                own_weight if person.get("weight") is None else person["weight"],
                _step(person.get("start_step", 0), steps),
                _step(person.get("end_step"), steps),
                person.get("name") or "",
            ]
            if person:
                name = person.get("name") or self._name(number, who, [*choices, *more])
                painted = bool(photos[number].mask)
                stage.append((number, str(name), region.get("box"), painted))
            looks += looks_of(photos[number], who)
        if lost:
            gr.Warning(texts.PHOTO_GONE)
        shown = [number < max(len(rows), 1) for number in range(count)]
        columns = [gr.update(visible=is_shown) for is_shown in shown]
        model = form["model"]
        return [*values, photos, shown, model, *columns, *looks, stage_value(ratio, stage)]

    def _who(
        self, person: Mapping[str, Any], choices: Sequence[tuple[str, str]], owner: str
    ) -> tuple[str, list[tuple[str, str]]]:
        """The card's choice for somebody, and what has to be added to its list for that."""
        said = str(person.get("identity") or "")
        if not said:
            return "", []
        said = self._first_ids(owner).get(said, said)
        for name, value in choices:
            if value and (said == value or said.lower() == name.lower()):
                return value, []
            if len(said) >= 10 and value.startswith(said[:10]):
                return value, []
        return said, [(str(person.get("name") or said), said)]

    def _first_ids(self, owner: str) -> dict[str, str]:
        """The ids that choices have, by the ids of all identities of these people."""
        people = self._service.people.people(owner)
        return {its_id: person.id for person in people for its_id in person.ids}

    @staticmethod
    def _name(number: int, who: str, choices: Sequence[tuple[str, str]]) -> str:
        names = {value: name for name, value in choices}
        return names[who] if who and who in names else texts.PERSON.format(number=number + 1)

    async def opened(self, remembered: Any, owner: str) -> list[Any]:
        """The values as the page is opened: those that the browser remembers, else the model's."""
        form, people = _remembered(remembered, len(self._cards.cards))
        model, settings = self.settings(form.get("model"))
        values = {name: default_of(name, settings, self.encoders(model)) for name in NAMES}
        values["prompt"] = texts.PROMPT_START
        if form.get("model") == model:
            # A field that was left empty has no value; it begins again as for a new visitor.
            values |= {one: value for one, value in form.items() if _is_like(value, values[one])}
        values["model"] = model
        updates = await asyncio.to_thread(self._updates, values, people, owner, set())
        place = NAMES.index("model")
        updates[place] = gr.update(choices=self.model_choices(), value=model)
        loras = [
            (texts.NO_LORA, ""),
            *((name, name) for name in await asyncio.to_thread(loras_of, self._service)),
        ]
        for row in range(LORA_ROWS):
            name = f"lora_{row}"
            value = values[name] if values[name] in dict(loras).values() else ""
            updates[NAMES.index(name)] = gr.update(choices=loras, value=value)
        return updates

    def model_choices(self) -> list[tuple[str, str]]:
        """The models that can be used, with what each is."""
        what = {info.name: info.what for info in self._service.models.infos()}
        return [
            (f"{name}: {what[name]}" if name in what else name, name)
            for name in self._service.models.settings()
        ]

    def of_model(self, model: str, former: str = "", *weights: Any) -> list[Any]:
        """The values of the picture's fields when another model is chosen, then the weights of the
        cards, and the model.

        Args:
            model: The new one.
            former: The one before.
            *weights: Of the cards; those that are the former model's own become the new one's.
        """
        model, settings = self.settings(model)
        encoders = self.encoders(model)
        found: list[Any] = []
        step = self.size_multiple(model)
        for name in NAMES:
            if name in SIZES:
                value = default_of(name, settings)
                found.append(gr.update(value=value, step=step, minimum=step))
            elif name in ("steps", "cfg_scale", "scheduler", "sampling_method"):
                found.append(gr.update(value=default_of(name, settings)))
            elif name == "guidance":
                value = default_of(name, settings)
                found.append(
                    gr.update(value=value, visible=has_guidance(model, settings, encoders))
                )
            elif name == "negative_prompt" and name in settings:
                found.append(gr.update(value=settings[name]))
            elif name == "cfg_start_step":
                found.append(gr.update(value=default_of(name, settings, encoders)))
            elif name in ID_MODE_FIELDS:
                value = default_of(name, settings)
                found.append(gr.update(value=value, visible=has_modes(encoders)))
            else:
                found.append(gr.skip())
        width, height = default_of("width", settings), default_of("height", settings)
        was, own = identity_weight(self.encoders(former)), identity_weight(encoders)
        changed = [own if weight == was else gr.skip() for weight in weights]
        return [*found, shape_of(width, height), *changed, model]


def _step(value: Any, steps: Any) -> Any:
    """A step's number, as the form has it, also of a share of all steps."""
    if isinstance(value, float) and isinstance(steps, int | float):
        return step_at(value, int(steps))
    return value if isinstance(value, int) else None


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value from a browser is of a field's kind."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    return value is None or isinstance(value, str | int | float)


def _remembered(value: Any, cards: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The form and the people that the browser remembers, whatever it has."""
    if not isinstance(value, list) or len(value) != len(NAMES) + 5 * cards + 1:
        return {}, []
    boxes = boxes_in(value[-1])
    form = dict(zip(NAMES, value, strict=False))
    people = []
    for number in range(cards):
        who, weight, start, end, name = value[len(NAMES) + 5 * number :][:5]
        if who:
            one = {"identity": who, "weight": weight, "start_step": start, "end_step": end}
            box = boxes.get(number)
            people.append({**one, "name": name, "region": {"box": box} if box else None})
    return form, people
