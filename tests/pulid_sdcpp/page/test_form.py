"""The Create screen's form as a request's body, and back."""

from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp.page.form import (
    NAMES,
    body_of_form,
    default_of,
    form_of_body,
    shape_of,
    size_of_shape,
)
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.normal_request import normalised
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.request.request_forms import to_json

SETTINGS = {"steps": 20, "guidance": 3.5, "width": 1024, "height": 1024}


def form(**values: Any) -> dict[str, Any]:
    return {**{name: default_of(name, SETTINGS) for name in NAMES}, "prompt": "a", **values}


def test_a_form_that_says_nothing_is_a_body_of_what_every_picture_has() -> None:
    assert body_of_form(form(model="m"), SETTINGS) == {
        "model": "m",
        "prompt": "a",
        "width": 1024,
        "height": 1024,
        "steps": 20,
        "batch_count": 1,
        "seed": -1,
        "preview": "proj",
    }


CHANGES = [
    ("guidance", 2.0),
    ("negative_prompt", "no"),
    ("sampling_method", "heun"),
    ("scheduler", "simple"),
    ("eta", 0.5),
    ("clip_skip", 2),
    ("cache_mode", "easycache"),
    ("upscale_repeats", 2),
    ("title", "of mine"),
    ("preview", "vae"),
    ("seed", "9223372036854775807"),
    ("width", 512),
    ("steps", 3),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_value_is_in_the_body_and_comes_back(name: str, value: Any) -> None:
    given = form(model="m", **{name: value})
    body = body_of_form(given, SETTINGS)
    assert body[name] == (int(value) if name == "seed" else value)
    assert form_of_body(body, SETTINGS) == {**given, "seed": str(body["seed"])}


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_the_form_comes_back_from_what_a_job_keeps(name: str, value: Any) -> None:
    given = form(model="m", **{name: value})
    request = normalised(
        body_of_form(given, SETTINGS),
        models={"m": SETTINGS},
        default_model="m",
        readers=RequestFiles(Limits()).readers,
        own=True,
    )
    back = form_of_body(to_json(request), SETTINGS)
    assert {**back, "seed": ""} == {**given, "seed": ""}


def test_the_second_pass_is_said_only_where_it_is_wanted() -> None:
    off = body_of_form(form(model="m", hires_scale=1.5), SETTINGS)
    assert not [name for name in off if name.startswith("hires")]
    on = form(model="m", hires=True, hires_scale=1.5, hires_denoising_strength=0.5)
    body = body_of_form(on, SETTINGS)
    assert (body["hires"], body["hires_scale"], body["hires_denoising_strength"]) == (
        True,
        1.5,
        0.5,
    )
    assert "hires_steps" not in body
    assert form_of_body(body, SETTINGS) == on


def test_loras_are_named_with_their_weights() -> None:
    given = form(model="m", lora_1="ink", lora_weight_1=0.7)
    body = body_of_form(given, SETTINGS)
    assert body["lora"] == [{"name": "ink", "multiplier": 0.7}]
    back = form_of_body(body, SETTINGS)
    assert (back["lora_0"], back["lora_weight_0"], back["lora_1"]) == ("ink", 0.7, "")


def test_true_cfg_says_from_which_step() -> None:
    given = form(model="m", cfg_scale=4.0, cfg_start_step=2)
    body = body_of_form(given, SETTINGS)
    assert (body["cfg_scale"], body["cfg_start_step"]) == (4.0, 2)
    assert form_of_body(body, SETTINGS) == given
    assert "cfg_start_step" not in body_of_form(form(model="m"), SETTINGS)


def test_strength_means_something_only_with_a_picture_to_start_from() -> None:
    given = form(model="m", strength=0.4)
    assert "strength" not in body_of_form(given, SETTINGS)
    assert body_of_form(given, SETTINGS, has_start=True)["strength"] == 0.4


@pytest.mark.parametrize("text", ["", "  ", None, "-1"])
def test_an_empty_seed_is_a_random_one(text: Any) -> None:
    assert body_of_form(form(model="m", seed=text), SETTINGS)["seed"] == -1


def test_a_seed_that_is_no_number_is_an_error_of_its_field() -> None:
    with pytest.raises(ApiError) as error:
        body_of_form(form(model="m", seed="a lot"), SETTINGS)
    assert (error.value.code, error.value.param) == ("invalid_value", "seed")


def test_every_name_is_known_to_the_server() -> None:
    body = body_of_form(form(model="m", hires=True, lora_0="a"), {}, has_start=True)
    assert body_fields(body, own=True).warnings == ()


def test_names_of_clients_fill_the_form_too() -> None:
    body = {"sample_params": {"sample_steps": 7, "guidance": {"txt_cfg": 2.0}}, "n": 3}
    back = form_of_body({"prompt": "a", **body}, SETTINGS)
    assert (back["steps"], back["cfg_scale"], back["batch_count"]) == (7, 2.0, 3)


@pytest.mark.parametrize(
    ("size", "shape"),
    [((128, 128), "square"), ((896, 1152), "portrait"), ((1152, 896), "landscape"),
     ((800, 1152), "own"), ((16, 0), "own")],
)  # fmt: skip
def test_sizes_have_shapes(size: tuple[int, int], shape: str) -> None:
    assert shape_of(*size) == shape


def test_a_shape_has_about_as_many_pixels_as_the_model_s_size() -> None:
    assert size_of_shape("square", SETTINGS) == (1024, 1024)
    width, height = size_of_shape("portrait", SETTINGS)
    assert width % 16 == height % 16 == 0
    assert abs(width * height / 1024**2 - 1) < 0.05
    assert size_of_shape("square", {"width": 128, "height": 128}) == (128, 128)


def test_a_negative_prompt_of_the_model_can_be_emptied() -> None:
    settings = {**SETTINGS, "negative_prompt": "blurry"}
    values = {name: default_of(name, settings) for name in NAMES} | {"prompt": "a", "model": "m"}
    assert "negative_prompt" not in body_of_form(values, settings)
    emptied = body_of_form({**values, "negative_prompt": ""}, settings)
    assert emptied["negative_prompt"] == ""
    assert form_of_body(emptied, settings)["negative_prompt"] == ""


def test_modes_are_said_of_sdxl_alone_whatever_the_model_is_called() -> None:
    said = {"id_mode": "style", "id_zeros": 12.0}
    of_flux = body_of_form(form(model="my-sdxl-like", **said), {}, ("flux",))
    assert not {"id_mode", "id_zeros"} & of_flux.keys()
    body = body_of_form(form(model="mine", **said), {}, ("sdxl-v1.1",))
    assert (body["id_mode"], body["id_zeros"]) == ("style", 12)
    settings, encoders = {"id_zeros": 10}, ("sdxl-v1",)
    own = body_of_form(form(model="mine", id_mode="", id_zeros=10), settings, encoders)
    assert not {"id_mode", "id_zeros"} & own.keys()
    zero = body_of_form(form(model="mine", id_zeros=0), settings, encoders)
    assert zero["id_zeros"] == 0
    back = form_of_body(body, {}, encoders)
    assert (back["id_mode"], back["id_zeros"]) == ("style", 12)


def test_true_cfg_begins_at_once_with_sdxl() -> None:
    assert form_of_body({"model": "mine"}, {}, ("sdxl-v1",))["cfg_start_step"] == 0
    assert form_of_body({"model": "mine"}, {}, ("flux",))["cfg_start_step"] == 1


def test_shapes_of_sdxl_have_sides_of_64() -> None:
    assert size_of_shape("portrait", SETTINGS, 64) == (896, 1152)
    small = {"width": 560, "height": 560}
    assert all(side % 64 == 0 for side in size_of_shape("landscape", small, 64))
    assert any(side % 64 for side in size_of_shape("landscape", small))
