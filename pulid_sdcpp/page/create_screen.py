"""The screen Create: who, what and how, and the picture as it is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from ..server.errors import ApiError, api_error_of
from ..server.limits import Limits
from ..server.request.body_fields import body_fields
from ..server.request.normal_request import MAX_REFERENCES
from ..server.request.request_files import RequestFiles
from . import texts
from .card_choices import card_choices
from .create_fill import CreateFill
from .create_form import CreateFields
from .follow import JobFollower
from .form import NAMES, SHAPES, body_of_form, default_of, shape_of, size_of_shape
from .live import live, pressed_in
from .now_panel import duration
from .people_cards import PeopleCards
from .people_form import people_in_form
from .photo_input import uploaded
from .picture_dialog import picture_again, settings_of_picture
from .place_painter import PlacePainter
from .queue_screen import queue_rows
from .region_stage import boxes_in, region_stage, stage_value
from .screen_parts import EVENT, call_in, told
from .start_picture import painted_mask, painted_picture, painted_value

if TYPE_CHECKING:
    from .parts import PageParts

__all__ = ["create_screen"]

_SECRET = "pulid-sdcpp"
"""Gradio's store in the browser wants one; nothing in it is secret to that browser."""


def create_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    fields = CreateFields(service.limits.max_batch, service.limits.max_steps)
    follower = JobFollower(service)
    with gr.Row(elem_id="create", equal_height=False):
        with gr.Column(scale=5, min_width=300, elem_id="create-form"):
            fields.prompt()
            ideas = live(str(_ideas()), elem_id="ideas")
            _heading(texts.PEOPLE_TITLE)
            cards = PeopleCards(service)
            with gr.Accordion(texts.PLACES_TITLE, open=False, elem_id="places"):
                gr.HTML(f"<p class='field-note'>{texts.PLACES_INFO}</p>", apply_default_css=False)
                stage = region_stage()
                PlacePainter(service, cards.photos, stage)
            _heading(texts.PICTURE)
            fields.picture()
            fields.start_from()
            fields.more()
            gr.HTML(f"<p class='field-note'>{texts.CONSENT}</p>", apply_default_css=False)
            with gr.Row(elem_id="create-bar"):
                said = live(elem_id="form-said")
                make = gr.Button(texts.GENERATE, variant="primary", elem_id="generate")
        with gr.Column(scale=6, min_width=300, elem_id="create-right"):
            with gr.Column(elem_id="create-now"):
                now = [live(elem_id=f"now-{name}") for name in ("picture", "bar")]
                now += [live(elem_id=f"now-{name}") for name in ("spoken", "stop")]
            with gr.Column(elem_id="create-after"):
                now += [live(elem_id=f"now-{name}") for name in ("actions", "latest")]
    parts.shared_html |= {"actions": now[4], "latest": now[5]}
    rows = parts.shared_html["queue"] = queue_rows()
    remembered = gr.BrowserState(None, storage_key="pulid-create", secret=_SECRET)

    fill = CreateFill(service, fields, cards, stage)
    screen = _Create(service, fields, cards, fill, follower)
    parts.fields, parts.fill = fill.outputs, fill.values
    parts.shared["model"] = cards.model
    inputs = [*fields.values, *cards.values, cards.photos, cards.shown, stage, *fields.pictures]
    kept = [*fields.values, *cards.values, stage]
    make.click(screen.generate, inputs, [said], **EVENT)
    remember = {"inputs": kept, "outputs": [remembered], "js": "(...values) => [values]"}
    gr.on([make.click, stage.change, *(one.input for one in kept[:-1])], None, **remember, **EVENT)
    parts.when_opened(screen.opened, inputs=[remembered], outputs=fill.outputs)
    parts.when_opened(follower.follow, outputs=[*now, rows])

    any_ideas: Any = ideas
    any_ideas.act(screen.idea, [], [*fields.values, *cards.values], **EVENT)
    one: Any
    for one in (now[3], now[4], now[5]):
        one.act(screen.pressed, [], fill.outputs, **EVENT)
    sizes = [fields.named["width"], fields.named["height"]]
    fields.shape.input(screen.shaped, [fields.shape, fields.named["model"]], sizes, **EVENT)
    gr.on(
        [one.change for one in sizes],
        screen.sized,
        [*sizes, stage],
        [fields.shape, stage],
        **{**EVENT, "trigger_mode": "always_last"},
    )
    model, weights = fields.named["model"], [card.weight for card in cards.cards]
    model.input(
        fill.of_model,
        [model, cards.model, *weights],
        [*fields.values, fields.shape, *weights, cards.model],
        **EVENT,
    )
    fields.dice.click(lambda: "-1", None, fields.named["seed"], **EVENT)
    fields.last_seed.click(screen.last_seed, None, fields.named["seed"], **EVENT)
    gr.on(
        [
            cards.photos.change,
            cards.shown.change,
            *(card.who.input for card in cards.cards),
            *(card.name.blur for card in cards.cards),
        ],
        screen.staged,
        [*cards.values, cards.photos, cards.shown, stage],
        stage,
        **{**EVENT, "trigger_mode": "always_last"},
    )


class _Create:
    """What the screen's events do."""

    def __init__(
        self,
        service: Any,
        fields: CreateFields,
        cards: PeopleCards,
        fill: CreateFill,
        follower: JobFollower,
    ) -> None:
        self._service = service
        self._fields = fields
        self._cards = cards
        self._fill = fill
        self._follower = follower

    @told
    async def opened(self, remembered: Any, request: gr.Request) -> list[Any]:
        """The page is opened."""
        return await self._fill.opened(remembered, call_in(request).owner)

    async def generate(self, request: gr.Request, *values: Any) -> str:
        """Hand the job to the queue; what is wrong is said beside the button."""
        call = call_in(request)
        self._follower.look_at(request.session_hash or "", "")
        try:
            return str(await self._submitted(list(values), call.owner))
        except Exception as error:
            return str(_refused(api_error_of(error)))

    async def _submitted(self, values: list[Any], owner: str) -> Markup:
        form, values = dict(zip(NAMES, values, strict=False)), values[len(NAMES) :]
        count = len(self._cards.values)
        people_values, (photos, shown, stage, *pictures) = values[:count], values[count:]
        _, settings = self._fill.settings(form["model"])
        people, files = people_in_form(people_values, photos, shown, boxes_in(stage))
        more, more_files = await asyncio.to_thread(_pictures, self._service.limits, *pictures)
        encoders = self._fill.encoders(form["model"])
        body = body_of_form(form, settings, encoders, has_start="init_image" in more) | more
        if people:
            body["people"] = people
        given = RequestFiles(self._service.limits, parts={**files, **more_files})
        request = await self._service.read(body_fields(body, own=True), given)
        job = await self._service.submit(request, given.contents, owner=owner)
        notes = Markup("").join(
            Markup('<p class="field-note">{}</p>').format(one["message"]) for one in job.warnings
        )
        return notes

    async def idea(self, event: gr.EventData) -> list[Any]:
        """One of the examples."""
        pressed = pressed_in(event)
        nothing = [gr.skip() for _ in (*self._fields.values, *self._cards.values)]
        if not pressed.id.isdigit() or int(pressed.id) >= len(texts.EXAMPLE_LIST):
            return nothing
        example = texts.EXAMPLE_LIST[int(pressed.id)]
        for number, name in enumerate(NAMES):
            if name in example:
                nothing[number] = example[name]
            elif name in ("negative_prompt", "cfg_scale"):
                nothing[number] = default_of(name, {})
        nothing[len(NAMES) + 2] = example["start_step"]
        return nothing

    @told
    async def pressed(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        """A button beside the picture."""
        call, pressed = call_in(request), pressed_in(event)
        nothing: list[Any] = [gr.skip() for _ in self._fill.outputs]
        session = request.session_hash or ""
        if pressed.do == "cancel":
            await self._service.cancel(self._service.job(pressed.id, call.owner).id)
        elif pressed.do == "now":
            self._follower.look_at(session, "")
        elif pressed.do == "vary":
            self._follower.look_at(session, "")
            await picture_again(self._service, pressed.id, call, other_seed=True)
        elif pressed.do in ("look", "settings", "start"):
            job, picture, path = self._service.picture(pressed.id, call.owner)
            if pressed.do == "look":
                self._follower.look_at(session, pressed.id)
            elif pressed.do == "start":
                content = await asyncio.to_thread(path.read_bytes)
                return [*nothing[:-1], await asyncio.to_thread(painted_value, content)]
            else:
                body = settings_of_picture(job.request, picture.seed)
                return await asyncio.to_thread(self._fill.values, body, call.owner)
        return nothing

    async def shaped(self, shape: str, model: str) -> list[Any]:
        """A shape is chosen."""
        if shape not in SHAPES:
            return [gr.skip(), gr.skip()]
        name, settings = self._fill.settings(model)
        return list(size_of_shape(shape, settings, self._fill.size_multiple(name)))

    async def sized(self, width: float | None, height: float | None, stage: Any) -> list[Any]:
        """A side has another length."""
        if not width or not height:
            return [gr.skip(), gr.skip()]
        return [shape_of(width, height), {**(stage or {}), "ratio": width / height}]

    async def last_seed(self, request: gr.Request) -> Any:
        """The seed of the newest picture."""
        newest = next(iter(self._follower.jobs(call_in(request).owner).pictures()), None)
        return str(newest[1].seed) if newest is not None else gr.skip()

    async def staged(self, request: gr.Request, *values: Any) -> Any:
        """Other people are in the picture."""
        *people, photos, shown, stage = values
        choices = await asyncio.to_thread(card_choices, self._service, call_in(request).owner)
        names = {who: name for name, who in choices}
        boxes = boxes_in(stage)
        rows = []
        for number, is_shown in enumerate(shown):
            who, *_, name = people[number * 5 : number * 5 + 5]
            photo = photos[number]
            if not is_shown or (not who and not photo.is_somebody):
                continue
            title = names.get(who, who) if who else name or texts.PERSON.format(number=number + 1)
            rows.append((number, title, boxes.get(number), bool(photo.mask)))
        ratio = stage.get("ratio", 1) if isinstance(stage, dict) else 1
        return stage_value(ratio, rows)


def _heading(text: str) -> None:
    gr.HTML(f"<h3>{text}</h3>", apply_default_css=False)


def _ideas() -> Markup:
    chips = Markup("").join(
        Markup('<li><button type="button" data-do="idea" data-id="{}">{}</button></li>').format(
            number, example["name"]
        )
        for number, example in enumerate(texts.EXAMPLE_LIST)
    )
    return Markup('<ul class="ideas" aria-label="{}">{}</ul>').format(texts.EXAMPLES, chips)


def _pictures(
    limits: Limits,
    start: Any,
    start_mask: str | None,
    refs: list[str] | None,
    control: str | None,
    canny: bool,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The pictures that come along, as a body and its files."""
    body: dict[str, Any] = {}
    files: dict[str, bytes] = {}

    def add(name: str, content: bytes | None) -> bool:
        if content is None:
            return False
        files[name] = content
        body[name] = f"file:{name}"
        return True

    if add("init_image", painted_picture(start)):
        add("mask_image", uploaded(start_mask, keep=True) or painted_mask(start, limits))
    for number, path in enumerate((refs or [])[: MAX_REFERENCES + 1]):  # one too many is said
        content = uploaded(path, keep=True)
        if content is not None:
            files[f"ref_{number}"] = content
            body.setdefault("ref_images", []).append(f"file:ref_{number}")
    if add("control_image", uploaded(control, keep=True)) and canny:
        body["canny"] = True
    return body, files


def _refused(error: ApiError) -> Markup:
    """What is wrong, and with which field."""
    message = error.message
    if error.code == "queue_full":
        wait = float(error.headers.get("Retry-After", 0) or 0)
        message = texts.FULL.format(time=duration(wait))
    name = texts.FIELD_NAMES.get(error.param or "")
    field = Markup("<strong>{}</strong>: ").format(name) if name else Markup("")
    return Markup('<p class="field-error" role="alert">{}{}</p>').format(field, message)
