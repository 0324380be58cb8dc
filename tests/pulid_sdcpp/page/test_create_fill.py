"""The Create screen is filled: when the page is opened, for a picture's settings, for a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from pulid_sdcpp.page import texts
from pulid_sdcpp.page.create_fill import CreateFill
from pulid_sdcpp.page.create_form import CreateFields, has_guidance
from pulid_sdcpp.page.earlier_files import earlier_file
from pulid_sdcpp.page.form import NAMES
from pulid_sdcpp.page.people_cards import PeopleCards, _CardEvents
from pulid_sdcpp.page.person_photo import PersonPhoto
from pulid_sdcpp.page.region_stage import region_stage
from pulid_sdcpp.server.jobs.jobs import Job

ROSE = SimpleNamespace(name="Rose", id="0123456789", ids=("0123456789", "e" * 10))
MODELS: dict[str, dict[str, Any]] = {
    "dev": {"steps": 20, "guidance": 3.5},
    "schnell": {"steps": 4},
    "mine": {"steps": 4, "width": 1024},
}
MASK, FACE = "a" * 64, "b" * 64


class Models:
    default = "dev"

    def settings(self) -> Any:
        return MODELS

    def encoders(self, name: str) -> Any:
        return ("sdxl-v1",) if name == "mine" else ("flux",)

    def size_multiple(self, name: str) -> int:
        return 64 if name == "mine" else 16

    def infos(self) -> Any:
        return [SimpleNamespace(name="dev", what="twenty steps")]

    def choice(self, name: str) -> Any:
        return SimpleNamespace(context={})


class Book:
    """Two owners' jobs, each with its folder."""

    def __init__(self, folder: Path) -> None:
        self.store = SimpleNamespace(folder=lambda job_id: folder / job_id)
        request = {
            "people": [{"embedding": f"sha256:{FACE}", "region": {"mask": f"sha256:{MASK}"}}]
        }
        self.jobs = [
            Job(f"job_{owner}", "img_gen", owner, 1.0, 1, request) for owner in ("rose", "tom")
        ]

    def newest(self, owner: str, *, limit: int | None) -> list[Job]:
        return [job for job in self.jobs if job.owner == owner]


@dataclass
class Page:
    fill: CreateFill
    fields: CreateFields
    cards: PeopleCards
    service: Any

    def named(self, values: list[Any]) -> dict[str, Any]:
        """The values by name, of cards by name and number."""
        assert len(values) == len(self.fill.outputs)
        names = [*NAMES, "shape"]
        for number in range(len(self.cards.cards)):
            names += [f"{one}_{number}" for one in ("who", "weight", "start", "end", "name")]
        names += ["photos", "shown", "weights_of"]
        return {name: _value(value) for name, value in zip(names, values, strict=False)} | {
            "stage": values[-2],
            "start": values[-1],
        }


def _value(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) and "__type__" in value else value


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    tmp_path = tmp_path_factory.mktemp("jobs")
    for owner, name in (("rose", FACE), ("rose", MASK), ("tom", FACE)):
        suffix = ".png" if name == MASK else ".pulidembd"
        path = tmp_path / f"job_{owner}" / f"{name}{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"{owner} {suffix}".encode())
    service = SimpleNamespace(
        models=Models(),
        people=SimpleNamespace(people=lambda owner: [ROSE] if owner == "rose" else []),
        limits=SimpleNamespace(max_people=3),
        book=Book(tmp_path),
    )
    return asyncio.run(built(service))


async def built(service: Any) -> Page:
    """In a loop, as Gradio would make one of its own and leave it open."""
    with gr.Blocks(analytics_enabled=False):
        fields = CreateFields(10, 50)
        fields.prompt()
        cards = PeopleCards(service)
        stage = region_stage()
        fields.picture()
        fields.start_from()
        fields.more()
    return Page(CreateFill(service, fields, cards, stage), fields, cards, service)


def opened(page: Page, remembered: Any) -> dict[str, Any]:
    return page.named(asyncio.run(page.fill.opened(remembered, "rose")))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(gr, "Warning", found.append)
    return found


@pytest.mark.parametrize("remembered", [None, [], "x", [1, 2], {"a": 1}])
def test_a_first_visit_has_the_model_s_own_values(page: Page, remembered: Any) -> None:
    values = opened(page, remembered)
    assert (values["model"], values["steps"], values["guidance"]) == ("dev", 20, 3.5)
    assert (values["prompt"], values["seed"]) == (texts.PROMPT_START, "-1")
    assert values["shown"] == [True, False, False]


def test_a_form_that_was_left_comes_back_with_its_people_and_places(page: Page) -> None:
    form = opened(page, None)
    kept = [{**form, "prompt": "a cat", "steps": 7}[name] for name in NAMES]
    kept += ["", 1, 0, None, "", ROSE.id, 0.8, 4, None, "", "", 1, 0, None, ""]
    kept.append({"ratio": 1, "people": [{"card": 1, "name": "Rose", "box": [0, 0, 0.5, 1]}]})
    values = opened(page, kept)
    assert (values["prompt"], values["steps"]) == ("a cat", 7)
    assert (values["who_0"], values["weight_0"], values["start_0"]) == (ROSE.id, 0.8, 4)
    assert values["stage"]["people"][0]["box"] == [0, 0, 0.5, 1]


def test_fields_that_were_left_empty_do_not_keep_the_page_from_opening(page: Page) -> None:
    form = opened(page, None)
    empty = {"width": None, "height": None, "steps": None, "hires": None, "batch_count": "x"}
    kept = [{**form, "prompt": "a cat", **empty}[name] for name in NAMES]
    kept += [ROSE.id, None, None, None, None, *["", 1, 0, None, ""] * 2, None]
    values = opened(page, kept)
    assert values["prompt"] == "a cat"
    assert {name: values[name] for name in empty} == {name: form[name] for name in empty}
    assert (values["who_0"], values["weight_0"], values["name_0"]) == (ROSE.id, 1, "")


def test_settings_of_a_picture_bring_a_kept_person_by_name_or_id(page: Page) -> None:
    body = {
        "prompt": "a dog",
        "seed": 5,
        "people": [{"identity": "rose", "weight": 0.5, "start_step": 2}, {"identity": ROSE.id}],
    }
    values = page.named(page.fill.values(body, "rose"))
    assert (values["prompt"], values["seed"]) == ("a dog", "5")
    assert (values["who_0"], values["weight_0"], values["start_0"]) == (ROSE.id, 0.5, 2)
    assert values["who_1"] == ROSE.id
    assert values["shown"] == [True, True, False]
    assert [row["name"] for row in values["stage"]["people"]] == ["Rose", "Rose"]


def test_a_person_without_a_prompt_leaves_the_rest_of_the_form(page: Page) -> None:
    values = page.fill.values({"people": [{"identity": ROSE.id}]}, "rose")
    assert values[: len(NAMES) + 1] == [gr.skip()] * (len(NAMES) + 1)
    assert values[-1] == gr.skip()
    assert page.named(values)["who_0"] == ROSE.id


def test_somebody_unknown_is_still_in_the_form(page: Page) -> None:
    values = page.named(
        page.fill.values({"prompt": "a", "people": [{"identity": "f" * 10}]}, "rose")
    )
    assert values["who_0"] == "f" * 10


def test_a_person_of_a_photo_comes_back_with_the_painted_place(page: Page, said: list[str]) -> None:
    body = {"prompt": "a", **page.service.book.jobs[0].request}
    values = page.named(page.fill.values(body, "rose"))
    assert values["photos"][0].embedding == b"rose .pulidembd"
    assert values["photos"][0].mask == b"rose .png"
    assert values["stage"]["people"][0]["painted"]
    assert said == []


def test_a_photo_that_is_gone_is_said(page: Page, said: list[str]) -> None:
    body = {"prompt": "a", "people": [{"photos": [f"sha256:{'c' * 64}"]}]}
    page.fill.values(body, "rose")
    assert said == [texts.PHOTO_GONE]


def test_nobody_gets_another_owner_s_files(page: Page) -> None:
    assert earlier_file(page.service, "tom", f"sha256:{FACE}") == b"tom .pulidembd"
    assert earlier_file(page.service, "tom", f"sha256:{MASK}") is None
    assert earlier_file(page.service, "nobody", f"sha256:{FACE}") is None


@pytest.mark.parametrize(
    "name", [None, 3, "", FACE, "sha256:", "sha256:../../a", f"sha256:{FACE}/"]
)
def test_no_other_name_is_a_file(page: Page, name: Any) -> None:
    assert earlier_file(page.service, "rose", name) is None


def test_another_model_has_its_own_steps_and_schnell_no_guidance(page: Page) -> None:
    values = page.fill.of_model("schnell")
    assert len(values) == len(NAMES) + 2
    assert values[-1] == "schnell"
    named: Callable[[str], Any] = lambda name: values[NAMES.index(name)]  # noqa: E731
    assert named("steps")["value"] == 4
    assert named("guidance")["visible"] is False
    assert named("prompt") == gr.skip()
    for name in ("id_mode", "id_zeros"):  # only SDXL's
        assert named(name)["visible"] is False
        assert named(name)["value"] in ("", None)
    assert page.fill.of_model("dev")[NAMES.index("guidance")]["visible"] is True


def test_models_are_named_with_what_they_are(page: Page) -> None:
    assert page.fill.model_choices() == [
        ("dev: twenty steps", "dev"),
        ("schnell", "schnell"),
        ("mine", "mine"),
    ]


@pytest.mark.parametrize(
    ("model", "settings", "encoder", "has"),
    [("flux-dev-q4", {}, "flux", True), ("flux-schnell-q4", {}, "flux", False),
     ("pocket", {}, "flux", False), ("mine", {}, "sdxl-v1", False),
     ("my-sdxl-like", {}, "flux", True), ("my-schnell", {"guidance": 2.0}, "flux", True)],
)  # fmt: skip
def test_schnell_and_sdxl_have_no_guidance(
    model: str, settings: Any, encoder: str, has: bool
) -> None:
    assert has_guidance(model, settings, (encoder,)) is has


def test_modes_go_by_the_model_s_kind_and_not_its_name(page: Page) -> None:
    values = page.fill.of_model("mine", "dev")
    assert all(values[NAMES.index(name)]["visible"] for name in ("id_mode", "id_zeros"))
    assert values[NAMES.index("guidance")]["visible"] is False
    assert values[NAMES.index("cfg_start_step")]["value"] == 0


def test_another_model_s_own_weight_takes_the_place_of_the_former_one_s(page: Page) -> None:
    *_, first, second, third, shown = page.fill.of_model("mine", "dev", 1, 0.5, 1.0)
    assert (first, second, third, shown) == (0.8, gr.skip(), 0.8, "mine")
    *_, first, second, _ = page.fill.of_model("schnell", "mine", 0.8, 1.0)
    assert (first, second) == (1.0, gr.skip())  # 1.0 was the user's
    *_, first, _ = page.fill.of_model("schnell", "dev", 0.8)
    assert first == gr.skip()


def test_a_person_has_the_weight_of_the_form_s_model(page: Page) -> None:
    body = {"people": [{"identity": ROSE.id}], "model": "mine"}
    values = page.named(page.fill.values(body, "rose"))
    assert (values["weight_0"], values["weights_of"]) == (0.8, "mine")
    assert values["model"] is values["steps"] is None  # they stay
    values = page.named(page.fill.values({"people": [{"identity": ROSE.id}]}, "rose"))
    assert values["weights_of"] is None
    assert opened(page, None)["weights_of"] == "dev"


def test_a_person_is_found_by_the_id_of_any_identity(page: Page) -> None:
    values = page.named(page.fill.values({"people": [{"identity": "e" * 10}]}, "rose"))
    assert values["who_0"] == ROSE.id


def test_one_more_person_than_there_are_cards_changes_nothing(page: Page) -> None:
    shown, add, *columns = asyncio.run(page.cards._added([True, True, True]))
    assert shown == [True, True, True]
    assert add["visible"] is False
    assert len(columns) == len(page.cards.columns)


def test_a_card_that_was_removed_is_empty_for_the_next_person(page: Page) -> None:
    photos = [PersonPhoto(), PersonPhoto(embedding=b"a"), PersonPhoto()]
    events = _CardEvents(page.service, 1)
    found = asyncio.run(events.removed(photos, [True, True, False], "mine"))
    emptied, shown, _, _, *values = found
    assert (emptied[1].is_somebody, shown) == (False, [True, False, False])
    assert [_value(one) for one in values[:5]] == ["", 0.8, 0, None, ""]


def test_every_weight_that_a_picture_may_have_is_on_the_slider(page: Page) -> None:
    values = page.named(page.fill.values({"people": [{"identity": ROSE.id, "weight": 5}]}, "rose"))
    slider = page.cards.cards[0].weight
    assert slider.preprocess(values["weight_0"]) == 5


def test_a_share_of_the_steps_is_a_step_s_number(page: Page) -> None:
    people = [{"identity": ROSE.id, "start_step": 0.2, "end_step": 0.5}]
    values = page.named(page.fill.values({"prompt": "a", "steps": 20, "people": people}, "rose"))
    assert (values["start_0"], values["end_0"]) == (4, 10)


def test_arrows_of_the_sizes_step_as_the_model_s_sizes_do(page: Page) -> None:
    for model, step in (("mine", 64), ("dev", 16)):
        for values in (page.fill.of_model(model), page.fill.values({"model": model}, "rose")):
            for side in ("width", "height"):
                update = values[NAMES.index(side)]
                assert (update["step"], update["minimum"]) == (step, step)


def test_without_a_model_a_person_keeps_the_weight_of_the_form_s(page: Page) -> None:
    body: dict[str, Any] = {"prompt": "a", "people": [{"identity": ROSE.id}, {"identity": ROSE.id}]}
    body["people"][1]["weight"] = 0.4
    values = page.named(page.fill.values(body, "rose"))
    assert (values["weight_0"], values["weight_1"]) == (None, 0.4)  # the first is left as it is
    values = page.named(page.fill.values({**body, "model": "mine"}, "rose"))
    assert (values["weight_0"], values["weight_1"]) == (0.8, 0.4)
