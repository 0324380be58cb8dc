from __future__ import annotations

import itertools
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from file_drafts import write_sdxl_pulid
from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.facts import of
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.person_spec import PersonSpec
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.pictures.png_text import PictureText
from pulid_sdcpp.pictures.recipe import PictureRecipe
from pulid_sdcpp.request.generate_request import (
    FIELDS,
    GenerateRequest,
    generation_as_said,
    settle,
)
from pulid_sdcpp.request.wildcards import Wildcards
from pulid_sdcpp.store.model_store import PresetFiles

MODEL = {"diffusion_model_path": Path("flux.gguf"), "clip_l_path": "c", "taesd_path": "t"}
GIVEN = {"prompt": "a face", **MODEL}
ALICE = Identity.from_array(np.ones((4, 8), np.float32))


def recipe_of(
    *people: Person, cfg_start_step: int | None = None, context: Any = (), **generation: Any
) -> PictureRecipe:
    names = ("weight", "start_step", "end_step")
    return PictureRecipe(
        text=PictureText(""),
        preset="",
        generation=GenerationOptions(**{"prompt": "a recipe", **generation}),
        people=people,
        spans=tuple({name: getattr(person, name) for name in names} for person in people),
        cfg_start_step=cfg_start_step,
        context=dict(context),
        files={},
        version="1",
    )


def value_of(request: GenerateRequest, name: str) -> Any:
    for holder in (request.context, request.generation, request):
        if hasattr(holder, name):
            return getattr(holder, name)
    return getattr(request.people[0], name)


# A field of each kind: what a given value, a recipe, a preset and nobody say.
KINDS = {
    "steps": (5, 6, 7, 20),
    "circular_x": (True, True, True, False),
    "wtype": ("q8_0", "q4_0", "f16", "default"),
    "weight": (0.5, 0.6, None, 1.0),
    "cfg_start_step": (3, 4, None, None),
}
SOURCES = ("given", "recipe", "preset", "default")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("there", list(itertools.product((True, False), repeat=3)))
def test_given_goes_before_recipe_before_preset_before_defaults(
    name: str, there: tuple[bool, bool, bool]
) -> None:
    said = dict(zip(SOURCES, KINDS[name], strict=True))
    is_there = dict(zip(SOURCES, (*there, True), strict=True))
    if said["preset"] is None:  # a preset says nothing of people
        is_there["preset"] = False
    given = {**GIVEN, "people": [{"files": (Path("alice.jpg"),)}]}
    if is_there["given"]:
        given[name] = said["given"]
    recipe = preset = None
    if is_there["recipe"]:
        is_context = name in ("circular_x", "wtype")
        value = {name: said["recipe"]}
        person = Person(ALICE, **(value if name == "weight" else {}))
        others = {} if name == "weight" or is_context else value
        recipe = recipe_of(person, context=value if is_context else (), **others)
    if is_there["preset"]:
        of_context = {field.name for field in fields(ContextOptions)}
        value = {name: said["preset"]}
        preset = PresetFiles("p", **{"context" if name in of_context else "settings": value})
    request = settle(given, recipe=recipe, preset=preset)
    winner = next(source for source in SOURCES if is_there[source])
    assert value_of(request, name) == said[winner]
    assert request.sources[name] == winner


@pytest.mark.parametrize(
    ("given", "recipe", "preset", "expected"),
    [
        ({}, None, {"id_zeros": 10}, (None, None, 10)),
        ({"id_mode": "style"}, None, {"id_zeros": 10}, ("style", None, None)),
        ({"id_mode": "style", "id_zeros": 4}, None, {"id_zeros": 10}, ("style", None, 4)),
        ({"id_zeros": 4}, None, {"id_mode": "style"}, ("style", None, 4)),
        (
            {"id_mode": "plain"},
            {"id_projection": "ortho", "id_zeros": 16},
            {"id_zeros": 10},
            ("plain", None, None),
        ),
        (
            {},
            {"id_projection": "ortho", "id_zeros": 16},
            {"id_mode": "plain"},
            (None, "ortho", 16),
        ),
    ],
)
def test_a_mode_goes_before_what_is_said_below_it_of_its_parts(
    given: dict[str, Any], recipe: Any, preset: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    request = settle(
        {**GIVEN, **given},
        recipe=None if recipe is None else recipe_of(**recipe),
        preset=PresetFiles("p", settings=preset),
    )
    generation = request.generation
    found = (generation.id_mode, generation.id_projection, generation.id_zeros)
    assert found == expected
    if "id_mode" in given:
        silent = {"id_projection", "id_zeros"} - given.keys()
        assert {request.sources[name] for name in silent} == {"default"}


@pytest.mark.parametrize(
    ("given", "expected", "source"),
    [
        ({}, (96, 64), "recipe"),
        ({"init_image": "start.png"}, (48, 32), "picture"),  # 50 x 30, in whole multiples
        ({"init_image": "start.png", "width": 80}, (80, 32), "given"),
        ({"init_image": "start.png", "width": 80, "height": 16}, (80, 16), "given"),
        ({"width": 80}, (80, 64), "given"),
    ],
)
def test_a_picture_to_start_from_gives_the_size_over_a_recipe_and_a_preset(
    tmp_path: Path, given: dict[str, Any], expected: tuple[int, int], source: str
) -> None:
    Image.new("RGB", (50, 30)).save(tmp_path / "start.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "then.png")
    given = {k: tmp_path / v if k == "init_image" else v for k, v in given.items()}
    recipe = recipe_of(init_image=tmp_path / "then.png", width=96, height=64)
    preset = PresetFiles("p", settings={"width": 1024, "height": 1024})
    request = settle({**GIVEN, **given}, recipe=recipe, preset=preset)
    assert (request.generation.width, request.generation.height) == expected
    assert request.sources["width"] == source
    assert isinstance(request.generation.init_image, Image.Image)
    started_from = given.get("init_image", tmp_path / "then.png")
    assert request.files == (started_from,)
    assert [used and used.name for used in request.image_names["init"]] == [started_from.name]


def test_sdxl_has_a_weight_and_sizes_of_its_own(tmp_path: Path) -> None:
    Image.new("RGB", (150, 90)).save(tmp_path / "start.png")
    weights = write_sdxl_pulid(tmp_path / "pulid.safetensors", "v1")
    given = {
        "prompt": "a face",
        "model_path": "sdxl.safetensors",
        "pulid_weights": weights,
        "init_image": tmp_path / "start.png",
        "people": [{"files": (Path("alice.jpg"),)}, {"files": (Path("bob.jpg"),), "weight": 0.5}],
    }
    request = settle(given)
    assert (request.generation.width, request.generation.height) == (128, 64)
    assert [person.weight for person in request.people] == [0.8, 0.5]
    assert request.sources["weight"] == "default"
    everybody = settle({**given, "weight": 1.1})
    assert [person.weight for person in everybody.people] == [1.1, 0.5]


def test_nobody_else_decides_the_size() -> None:
    preset = PresetFiles("p", settings={"width": 128, "height": 64})
    generation = settle(GIVEN, preset=preset).generation
    assert (generation.width, generation.height) == (128, 64)


def test_the_seed_is_fixed_and_counts_up() -> None:
    request = settle({**GIVEN, "seed": -1, "batch_count": 3})
    seed = request.generation.seed
    assert seed >= 0
    each = [one.generation for one in request.each]
    assert [(one.seed, one.batch_count) for one in each] == [(seed + i, 1) for i in range(3)]


def test_a_recipe_does_not_say_how_many_pictures() -> None:
    assert settle(GIVEN, recipe=recipe_of(batch_count=4)).generation.batch_count == 1


def test_what_holds_for_everybody_holds_where_one_says_nothing() -> None:
    left = Region(box=(0, 0, 0.5, 1))
    people = [
        {"files": (Path("alice.jpg"),), "weight": 0.9, "region": left},
        {"name": "Bob", "files": (Path("b1.jpg"), Path("b2.jpg"))},
        {"identity": Path("carol.pulidembd"), "end_step": 4},
    ]
    request = settle({**GIVEN, "people": people, "weight": 0.5, "fusion": "mean"})
    assert request.people == (
        PersonSpec("alice", (Path("alice.jpg"),), weight=0.9, fusion="mean", region=left),
        PersonSpec("Bob", (Path("b1.jpg"), Path("b2.jpg")), weight=0.5, fusion="mean"),
        PersonSpec(
            "carol", identity=Path("carol.pulidembd"), weight=0.5, end_step=4, fusion="mean"
        ),
    )
    names = [path.name for path in request.files]
    assert names == ["alice.jpg", "b1.jpg", "b2.jpg", "carol.pulidembd"]


def test_people_of_a_recipe_keep_their_own_unless_something_is_given() -> None:
    left = Region(box=(0, 0, 0.5, 1))
    recipe = recipe_of(Person(ALICE, 0.9, region=left), Person(ALICE, 0.8, 2, 0.5))
    first, second = settle(GIVEN, recipe=recipe).people
    assert (first.name, first.identity) == (ALICE.short_hash, ALICE)
    assert (first.weight, first.region) == (0.9, left)
    assert (second.weight, second.start_step, second.end_step) == (0.8, 2, 0.5)
    first, second = settle({**GIVEN, "weight": 0.3}, recipe=recipe).people
    assert [first.weight, second.weight] == [0.3, 0.3]
    assert second.start_step == 2


def test_others_than_the_recipes_get_its_span_where_it_has_one() -> None:
    given = {**GIVEN, "people": [{"files": (Path("bob.jpg"),)}]}
    alone, several = Person(ALICE, 0.9, 2), [Person(ALICE, 0.9), Person(ALICE, 0.8)]
    (bob,) = settle(given, recipe=recipe_of(alone)).people
    assert (bob.name, bob.weight, bob.start_step) == ("bob", 0.9, 2)
    (bob,) = settle(given, recipe=recipe_of(*several)).people
    assert bob.weight == 1.0


def test_the_autoencoders_encoder_is_left_out_where_nothing_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert settle(GIVEN).context.vae_decode_only
    for images in ({"init_image": tmp_path / "a.png"}, {"ref_images": [tmp_path / "a.png"]}):
        assert not settle({**GIVEN, **images}).context.vae_decode_only


def test_a_decided_context_is_taken_and_cannot_be_given() -> None:
    context = ContextOptions(**MODEL)
    assert settle({"prompt": "a face"}, context=context).context is context
    with pytest.raises(TypeError, match="wtype"):
        settle({"prompt": "a face", "wtype": "f16"}, context=context)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"stepz": 3}, TypeError, "stepz"),
        ({"steps": 0}, ValueError, "steps is 0"),
        ({"weight": 9.0}, ValueError, "weight"),
        ({"cfg_start_step": -1}, ValueError, "cfg_start_step"),
        ({"people": [{"files": (Path("a.jpg"),), "weight": -1}]}, ValueError, "weight"),
        ({"people": [{"files": (Path("a.jpg"),)}] * 101}, ValueError, "101 people"),
        ({"init_image": "nowhere.png"}, ImageFileError, "nowhere.png"),
        ({"steps": 0, "init_image": "nowhere.png"}, ValueError, "steps is 0"),
    ],
)
def test_what_cannot_be_is_refused(
    given: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        settle({**GIVEN, **given})


def test_a_prompt_is_needed() -> None:
    with pytest.raises(ValueError, match="prompt is missing"):
        settle(MODEL)
    assert settle(MODEL, recipe=recipe_of()).generation.prompt == "a recipe"


def test_every_option_of_the_engine_and_of_a_picture_may_be_given() -> None:
    for options in (ContextOptions, GenerationOptions):
        assert {field.name for field in fields(options)} <= set(FIELDS)
    assert set(of(IdentityOptions)) - {"embedding"} <= set(FIELDS)


@pytest.mark.parametrize("face", ["nobody", True, [1, 2, 3], [1, 2, 0, 4]])
def test_a_face_that_cannot_be_chosen_is_refused_before_photos_are_read(face: Any) -> None:
    with pytest.raises(ValueError, match="face"):
        settle({**GIVEN, "people": [{"files": ["a.png"], "face": face}]})


def test_a_box_as_a_list_is_a_face() -> None:
    request = settle({**GIVEN, "people": [{"files": "a.png", "face": [1, 2, 3, 4]}]})
    assert request.people[0].face == (1.0, 2.0, 3.0, 4.0)
    assert hash(request.people[0].source) == hash(((Path("a.png"),), (1, 2, 3, 4), "auto"))


def test_names_of_loras_have_no_choices_in_them() -> None:
    given = {**MODEL, "prompt": "a {face|face}", "loras": ["__x__:0.5", "{a|b}"], "seed": 1}
    request = settle({**given, "wildcards": Wildcards()})
    assert request.generation.prompt == "a face<lora:__x__:0.5><lora:{a|b}:1>"
    assert request.written[0].templates == {"prompt": "a {face|face}"}


def test_a_presets_lora_is_applied_beside_others_and_once() -> None:
    lora = ("turbo", Path("weights.safetensors"))
    preset = PresetFiles("turbo", settings={"steps": 8, "lora_files": (lora,)})
    for values, recipe, prompt in (
        ({}, None, "a face<lora:turbo:1>"),
        ({"prompt": "a face<lora:turbo:0.5>"}, None, "a face<lora:turbo:0.5>"),
        ({"loras": ["other:0.3"]}, None, "a face<lora:other:0.3><lora:turbo:1>"),
        ({}, recipe_of(prompt="old<lora:turbo:1>"), "a face<lora:turbo:1>"),
    ):
        request = settle({**GIVEN, **values}, recipe=recipe, preset=preset)
        assert request.generation.prompt == prompt
        assert request.generation.lora_files == (lora,)
    again = settle(MODEL, recipe=recipe_of(prompt="old<lora:turbo:1>"), preset=preset)
    assert again.generation.prompt == "old<lora:turbo:1>"
    job = generation_as_said({"prompt": "a job"}, preset.settings)
    assert (job.prompt, job.lora_files, job.steps) == ("a job<lora:turbo:1>", (lora,), 8)
