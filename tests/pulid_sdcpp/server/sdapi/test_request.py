"""A1111's bodies become requests."""

from typing import Any

import pytest

from pulid_sdcpp.server.bodies.mask_change import MaskChange
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.request.normal_request import NormalRequest, normalised_fields
from pulid_sdcpp.server.request.person_fields import PersonFields
from pulid_sdcpp.server.sdapi.request import SdapiRequest, sdapi_request
from server_requests import MODELS, READERS, KeptText, Limits

PHOTO = PersonFields(photos=(KeptText("p"),))


def understood(body: dict[str, Any], from_picture: bool = False, **options: Any) -> SdapiRequest:
    return sdapi_request({"prompt": "x", **body}, from_picture=from_picture, **options)


def request_of(body: dict[str, Any], from_picture: bool = False, **options: Any) -> NormalRequest:
    return normalised_fields(
        understood(body, from_picture, **options).fields,
        models=MODELS,
        default_model="flux-dev",
        readers=READERS,
        limits=Limits(),
        draw_seed=lambda: 7,
    )


def codes(request: NormalRequest) -> list[tuple[str, str]]:
    return [(one["code"], one["field"]) for one in request.warnings]


def error_of(body: dict[str, Any], from_picture: bool = False, **options: Any) -> Any:
    with pytest.raises(ApiError) as caught:
        request_of(body, from_picture, **options)
    return caught.value.code, caught.value.param


def options_of(body: dict[str, Any], from_picture: bool = False, **options: Any) -> dict[str, Any]:
    found = dict(request_of(body, from_picture, **options).options)
    assert (found.pop("prompt"), found.pop("seed")) == ("x", 7)
    return found


@pytest.mark.parametrize("from_picture", [False, True])
def test_an_empty_negative_prompt_is_the_model_s_own(from_picture: bool):
    body = {"init_images": ["p"]} if from_picture else {}
    assert "negative_prompt" not in options_of({**body, "negative_prompt": ""}, from_picture)
    assert options_of({**body, "negative_prompt": " "}, from_picture)["negative_prompt"] == " "


def test_names_of_a_text_to_picture():
    body = {
        "negative_prompt": "n",
        "width": 1000,
        "height": 768,
        "steps": 8,
        "batch_size": 2,
        "n_iter": 2,
        "sampler_name": "DPM++ 2M Karras",
        "scheduler": "Automatic",
        "distilled_cfg_scale": 3,
        "eta": 1.0,
    }
    assert options_of(body) == {
        "negative_prompt": "n",
        "width": 1008,
        "height": 768,
        "steps": 8,
        "batch_count": 4,
        "sampling_method": "dpm++2m",
        "scheduler": "karras",
        "guidance": 3.0,
    }
    assert codes(request_of(body)) == [("size_rounded", "width")]


def test_a_scheduler_by_name_wins_over_the_samplers_suffix():
    body = {"sampler_name": "DPM++ 2M Karras", "scheduler": "simple"}
    assert options_of(body)["scheduler"] == "simple"


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ({"sampler_index": "Euler"}, "euler"),
        ({"sampler_index": "Euler", "sampler_name": "Heun"}, "heun"),
        ({"sampler_index": "Euler", "sampler_name": ""}, "euler"),
        ({"sampler_name": None}, None),
    ],
)
def test_the_sampler_has_two_fields(body: dict[str, Any], method: str | None):
    assert options_of(body).get("sampling_method") == method


def test_unknown_names_are_warned_of():
    request = request_of({"sampler_name": "UniPC", "scheduler": "Turbo"})
    assert codes(request) == [
        ("sampler_unknown", "sampler_name"),
        ("scheduler_unknown", "scheduler"),
    ]
    assert set(request.options) == {"prompt", "seed"}
    assert error_of({"sampler_name": "UniPC"}, strict=True) == ("not_found", "sampler_name")
    assert error_of({"scheduler": "Turbo"}, strict=True) == ("unsupported", "scheduler")


@pytest.mark.parametrize(("sampler", "eta"), [("Euler a", 0.5), ("Euler", None), (None, None)])
def test_eta_counts_where_a1111_means_it(sampler: str | None, eta: float | None):
    assert options_of({"sampler_name": sampler, "eta": 0.5}).get("eta") == eta


@pytest.mark.parametrize("value", [0, 1, None])
def test_clip_skip_of_0_and_1_is_none(value: int | None):
    body = {"clip_skip": value, "override_settings": {"CLIP_stop_at_last_layers": value}}
    assert options_of(body) == {}


def test_clip_skip():
    assert options_of({"clip_skip": 2}) == {"clip_skip": 2}
    assert options_of({"override_settings": {"CLIP_stop_at_last_layers": 3}}) == {"clip_skip": 3}


@pytest.mark.parametrize(
    ("body", "options", "cfg", "warned"),
    [
        ({"cfg_scale": 7}, {}, None, True),
        ({"cfg_scale": 1}, {}, None, False),
        ({}, {}, None, False),
        ({"cfg_scale": 7}, {"honour_cfg_scale": True}, 7.0, False),
        ({"cfg_scale": 7, "true_cfg": 2}, {}, 2.0, False),
        ({"cfg_scale": 7, "true_cfg": 2}, {"honour_cfg_scale": True}, 2.0, False),
        ({"cfg_scale": 7, "pulid": {"true_cfg": 3}}, {}, 3.0, False),
        ({"cfg_scale": 7, "pulid": {"true_cfg": 3}}, {"honour_cfg_scale": True}, 3.0, False),
    ],
)
def test_cfg_scale_is_no_true_cfg(
    body: dict[str, Any], options: dict[str, Any], cfg: float | None, warned: bool
):
    request = request_of(body, **options)
    assert request.options.get("cfg_scale") == cfg
    assert codes(request) == ([("cfg_scale_ignored", "cfg_scale")] if warned else [])


def test_a_model_for_one_picture():
    for title in ("flux-schnell", "flux-schnell [0123abcd]"):
        body = {"override_settings": {"sd_model_checkpoint": title, "sd_vae": "x"}}
        assert request_of(body).model == "flux-schnell"
    body = {"override_settings": {"sd_model_checkpoint": "none"}}
    assert error_of(body) == ("model_not_found", "override_settings.sd_model_checkpoint")


def test_hires_fix():
    body = {
        "enable_hr": True,
        "hr_scale": 1.5,
        "hr_upscaler": "Lanczos",
        "hr_second_pass_steps": 6,
        "hr_resize_x": 0,
        "hr_resize_y": 1000,
        "denoising_strength": 0.4,
    }
    assert options_of(body) == {
        "hires": True,
        "hires_scale": 1.5,
        "hires_upscaler": "Lanczos",
        "hires_steps": 6,
        "hires_width": 0,
        "hires_height": 1008,
        "hires_denoising_strength": 0.4,
    }
    assert options_of({**body, "enable_hr": False, "denoising_strength": 0}) == {}
    assert error_of({**body, "hr_scale": "x"}) == ("invalid_value", "hr_scale")


def test_upscalers():
    body = {"enable_hr": True, "hr_upscaler": "4x-Other", "width": 512, "height": 512}
    request = request_of(body)
    assert "hires_upscaler" not in request.options
    assert codes(request) == [("upscaler_unknown", "hr_upscaler")]
    assert options_of(body, upscalers=["4x-Other"])["hires_upscaler"] == "4x-Other"


def test_from_a_picture():
    body = {"init_images": ["i"], "denoising_strength": 0.3, "mask": "m", "mask_blur": 2}
    found = understood({**body, "inpainting_mask_invert": 1}, from_picture=True)
    assert found.mask == MaskChange(invert=True, blur_px=2.0)
    request = request_of(body, from_picture=True)
    assert request.options["strength"] == 0.3
    assert request.pictures == {"init_image": (KeptText("i"),), "mask_image": (KeptText("m"),)}
    assert error_of({**body, "denoising_strength": 2}, True) == (
        "invalid_value",
        "denoising_strength",
    )


@pytest.mark.parametrize(
    ("body", "blur"), [({}, 4.0), ({"mask_blur_x": 8}, 8.0), ({"mask_blur": 0}, 0.0)]
)
def test_the_blur_of_a_mask(body: dict[str, Any], blur: float):
    found = understood({"init_images": ["i"], "mask": "m", **body}, from_picture=True)
    assert found.mask == MaskChange(blur_px=blur)


@pytest.mark.parametrize("mask", [None, ""])
def test_no_mask(mask: str | None):
    assert understood({"init_images": ["i"], "mask": mask}, from_picture=True).mask is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "init_images"),
        ({"init_images": []}, "init_images"),
        ({"init_images": "i"}, "init_images"),
        ({"init_images": ["bad"]}, "init_images"),
    ],
)
def test_the_picture_to_start_from_is_needed(body: dict[str, Any], param: str):
    assert error_of(body, from_picture=True)[1] == param


@pytest.mark.parametrize(
    ("name", "neutral", "other", "beside"),
    [
        ("restore_faces", False, True, {}),
        ("tiling", False, True, {}),
        ("styles", [], ["a"], {}),
        ("subseed_strength", 0.0, 0.5, {}),
        ("script_name", "", "X/Y/Z plot", {}),
        ("refiner_checkpoint", "", "x", {}),
        ("hr_prompt", "", "x", {"enable_hr": True}),
        ("hr_checkpoint_name", "Use same checkpoint", "x", {"enable_hr": True}),
    ],
)
def test_what_is_not_offered(name: str, neutral: Any, other: Any, beside: dict[str, Any]):
    beside = {**beside, "width": 512, "height": 512}
    assert codes(request_of({name: neutral, **beside})) == []
    assert codes(request_of({name: None, **beside})) == []
    assert codes(request_of({name: other, **beside})) == [("not_offered", name)]
    assert error_of({name: other, **beside}, strict=True) == ("unsupported", name)
    if "enable_hr" in beside:
        assert codes(request_of({name: other})) == []


def test_what_is_not_offered_with_a_mask():
    body = {"init_images": ["i"], "inpaint_full_res": True, "inpainting_fill": 2, "resize_mode": 1}
    assert codes(request_of(body, True)) == [("not_offered", "resize_mode")]
    assert codes(request_of({**body, "mask": "m"}, True)) == [
        ("not_offered", "resize_mode"),
        ("not_offered", "inpaint_full_res"),
        ("not_offered", "inpainting_fill"),
    ]


def test_a_field_that_nobody_knows():
    assert codes(request_of({"stepz": 3})) == [("unknown_field", "stepz")]


def test_what_only_the_answer_needs():
    found = understood({"send_images": False, "force_task_id": "mine"})
    assert (found.send_images, found.task_id) == (False, "mine")


def test_extras_in_the_prompt():
    body = {
        "prompt": 'x <sd_cpp_extra_args>{"steps": 9, "cfg_scale": 2}</sd_cpp_extra_args>',
        "steps": 3,
        "cfg_scale": 7,
    }
    assert options_of(body) == {"steps": 9, "cfg_scale": 2.0}
    assert error_of({**body, "prompt": body["prompt"][2:]}) == ("invalid_value", "prompt")  # type: ignore[index]


def test_people_in_the_body_and_in_our_script():
    assert request_of({"photo": "p"}).people == (PHOTO,)
    scripts = {"PuLID": {"args": [{"photo": "p"}, {"id": "alice", "weight": 2}]}}
    assert request_of({"alwayson_scripts": scripts}).people == (
        PHOTO,
        PersonFields(identity="alice", options={"weight": 2.0}),
    )
    assert error_of({"alwayson_scripts": scripts, "photo": "p"}) == ("identity_conflict", "photo")
    both = {"alwayson_scripts": scripts, "people": [{"id": "a"}]}
    assert error_of(both) == ("identity_conflict", "people")


@pytest.mark.parametrize("scripts", [{}, [], None, {"pulid": {"args": []}}, {"pulid": {}}])
def test_scripts_that_say_nothing(scripts: Any):
    request = request_of({"alwayson_scripts": scripts})
    assert request.people == ()
    assert request.warnings == ()


def unit(**fields: Any) -> dict[str, Any]:
    return {"alwayson_scripts": {"ControlNet": {"args": [{"image": "p", **fields}]}}}


@pytest.mark.parametrize(
    ("fields", "person"),
    [
        ({"module": "ip-adapter_pulid"}, PHOTO),
        ({"model": "ip-adapter_PuLID_sdxl"}, PHOTO),
        ({"model": "pulid", "image": {"image": "p", "mask": None}}, PHOTO),
        ({"model": "pulid", "image": None, "input_image": "p"}, PHOTO),
        ({"model": "pulid", "guidance_start": 0, "guidance_end": 1, "pulid_mode": "x"}, PHOTO),
        (
            {"model": "pulid", "guidance_start": 0.2, "guidance_end": 0.8, "weight": 0.7},
            PersonFields(
                photos=PHOTO.photos, options={"weight": 0.7, "start_step": 0.2, "end_step": 0.8}
            ),
        ),
        (
            {"model": "pulid", "effective_region_mask": "m"},
            PersonFields(photos=PHOTO.photos, mask=KeptText("m")),
        ),
    ],
)
def test_units_of_controlnet(fields: dict[str, Any], person: PersonFields):
    request = request_of(unit(**fields))
    assert request.people == (person,)
    assert request.warnings == ()


def test_units_that_are_nobody():
    assert request_of(unit(model="pulid", enabled=False)).people == ()
    request = request_of(unit(model="canny"))
    assert request.people == ()
    assert codes(request) == [("not_offered", "alwayson_scripts.ControlNet.args[0]")]
    assert codes(request_of(unit(model="None", image=""))) == []
    adetailer = {"alwayson_scripts": {"ADetailer": {"args": [False]}}}
    assert codes(request_of(adetailer)) == []
    adetailer = {"alwayson_scripts": {"ADetailer": {"args": [True, {}]}}}
    assert codes(request_of(adetailer)) == [("not_offered", "alwayson_scripts.ADetailer")]
    assert error_of(adetailer, strict=True) == ("unsupported", "alwayson_scripts.ADetailer")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"alwayson_scripts": 5}, "invalid_value", "alwayson_scripts"),
        ({"alwayson_scripts": {"pulid": 5}}, "invalid_value", "alwayson_scripts.pulid"),
        (
            {"alwayson_scripts": {"pulid": {"args": ["a"]}}},
            "invalid_value",
            "alwayson_scripts.pulid.args",
        ),
        (
            unit(model="pulid", image=""),
            "identity_without_person",
            "alwayson_scripts.ControlNet.args[0].image",
        ),
        (
            unit(model="pulid", guidance_start=2),
            "invalid_value",
            "alwayson_scripts.ControlNet.args[0].guidance_start",
        ),
        ({"override_settings": 5}, "invalid_value", "override_settings"),
        ({"sampler_name": 5}, "invalid_value", "sampler_name"),
        ({"scheduler": 5}, "invalid_value", "scheduler"),
        ({"send_images": "maybe"}, "invalid_value", "send_images"),
        ({"mask_blur": -1}, "invalid_value", "mask_blur"),
        ({"width": "wide"}, "invalid_value", "width"),
    ],
)
def test_errors(body: dict[str, Any], code: str, param: str):
    assert error_of(body) == (code, param)
