"""What A1111's clients are told of their pictures."""

import json
from typing import Any

import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.pictures.parameters import describe_picture
from pulid_sdcpp.pictures.png_text import format_text
from pulid_sdcpp.server.sdapi.answer import SdapiMade, sdapi_answer, sdapi_info
from server_requests import MODELS, request_of

# Source: stable-diffusion-webui, modules/processing.py, Processed.js.
A1111_KEYS = {
    "prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds",
    "subseed", "all_subseeds", "subseed_strength", "width", "height", "sampler_name", "cfg_scale",
    "steps", "batch_size", "restore_faces", "face_restoration_model", "sd_model_name",
    "sd_model_hash", "sd_vae_name", "sd_vae_hash", "seed_resize_from_w", "seed_resize_from_h",
    "denoising_strength", "extra_generation_params", "index_of_first_image", "infotexts", "styles",
    "job_timestamp", "clip_skip", "is_using_inpainting_conditioning", "version",
}  # fmt: skip


CONTEXT = ContextOptions(
    diffusion_model_path="flux1-dev.gguf",
    clip_l_path="clip_l.safetensors",
    vae_path="ae.safetensors",
    pulid_weights="pulid.safetensors",
)


def text_of(generation: GenerationOptions, index: int = 0, *people: Person) -> str:
    identity = IdentityOptions(people=people) if people else None
    return format_text(
        describe_picture(CONTEXT, generation, identity, index=index, version="1.2.3")
    )


def made(body: dict[str, Any], texts: tuple[str, ...] = (), **changed: Any) -> SdapiMade:
    request = request_of({"prompt": "a cat", **body})
    values: dict[str, Any] = {
        "request": request,
        "settings": MODELS[request.model],
        "seeds": request.seeds,
        "texts": texts,
        "created": 0.0,
        "model_hash": "0123456789",
        "version": "1.2.3",
    }
    return SdapiMade(**{**values, **changed})


def test_info_is_as_the_pictures_say():
    generation = GenerationOptions(
        "a cat in the rain", "dogs", width=512, height=640, steps=8, seed=41, batch_count=2,
        sampling_method="dpm++2m", scheduler="karras", guidance=2.5,
    )  # fmt: skip
    texts = (text_of(generation), text_of(generation, 1))
    info = sdapi_info(made({"prompt": "a cat in the {rain|sun}", "n": 2}, texts))
    assert set(info) >= A1111_KEYS
    assert info["all_prompts"] == ["a cat in the rain"] * 2
    assert info["negative_prompt"] == "dogs"
    assert (info["seed"], info["all_seeds"]) == (41, [41, 42])
    assert (info["width"], info["height"], info["steps"]) == (512, 640, 8)
    assert (info["sampler_name"], info["cfg_scale"], info["clip_skip"]) == ("DPM++ 2M", 1.0, 1)
    assert (info["sd_model_name"], info["sd_model_hash"]) == ("flux-dev", "0123456789")
    assert info["infotexts"] == list(texts)
    extra = info["extra_generation_params"]
    assert (extra["Schedule type"], extra["Distilled CFG Scale"]) == ("Karras", "2.5")
    assert extra["pulid"] == []
    assert not {"Steps", "Seed", "Size", "Version"} & set(extra)
    assert (info["interrupted"], info["denoising_strength"], info["batch_size"]) == (False, None, 2)
    assert len(info["job_timestamp"]) == 14


def test_info_has_the_people():
    identity = Identity.from_array([[1.0, 2.0]])
    left, right = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))
    people = [Person(identity, 0.5, start_step=1, region=left), Person(identity, region=right)]
    text = text_of(GenerationOptions("x", seed=1), 0, *people)
    extra = sdapi_info(made({"photo": "p"}, (text,)))["extra_generation_params"]
    assert [one["identity"] for one in extra["pulid"]] == [identity.short_hash] * 2
    assert [one["weight"] for one in extra["pulid"]] == [0.5, 1.0]
    assert (extra["pulid"][0]["start_step"], extra["pulid"][1]["box"][0]) == (1, 0.5)
    assert not [key for key in extra if key.startswith("PuLID")]


def test_without_a_picture_info_is_as_the_request():
    asked = made({"n": 2, "seed": 5, "steps": 3, "photo": "p", "id_weight": 0.7}, interrupted=True)
    info = sdapi_info(asked)
    assert (info["prompt"], info["all_seeds"], info["steps"]) == ("a cat", [5, 6], 3)
    assert (info["width"], info["infotexts"], info["interrupted"]) == (1024, [], True)
    assert info["extra_generation_params"]["pulid"] == [{"weight": 0.7}]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"init_image": "p", "strength": 0.4}, 0.4),
        ({"hires": {"enabled": True, "scale": 2, "denoising_strength": 0.6}}, 0.6),
        ({}, None),
    ],
)
def test_denoising_strength(body: dict[str, Any], expected: float | None):
    assert sdapi_info(made(body))["denoising_strength"] == expected


def test_warnings_and_json():
    warning = {"code": "cfg_scale_ignored", "field": "cfg_scale", "message": "not used"}
    info = sdapi_info(made({}, warnings=(warning,)))
    answer = sdapi_answer({"prompt": "x"}, ["AA=="], info)
    assert answer["images"] == ["AA=="]
    assert json.loads(answer["info"])["warnings"] == [warning]


def test_the_body_comes_back_without_pictures():
    body = {
        "prompt": "a cat",
        "init_images": ["data:image/png;base64,AA=="],
        "mask": "AA==",
        "photo": "AA==",
        "people": [{"id_images": ["AA=="], "weight": 1, "region": {"box": [0, 0, 1, 1]}}],
        "override_settings": {"sd_model_checkpoint": "flux-dev"},
        "alwayson_scripts": {
            "ControlNet": {"args": [{"image": {"image": "AA==", "mask": None}, "weight": 1}]},
            "other": {"args": ["A" * 10_001, "data:image/png;base64,AA==", True]},
        },
    }
    assert sdapi_answer(body, [], {})["parameters"] == {
        "prompt": "a cat",
        "init_images": None,
        "mask": None,
        "photo": None,
        "people": [{"id_images": None, "weight": 1, "region": {"box": [0, 0, 1, 1]}}],
        "override_settings": {"sd_model_checkpoint": "flux-dev"},
        "alwayson_scripts": {
            "ControlNet": {"args": [{"image": {"image": None, "mask": None}, "weight": 1}]},
            "other": {"args": [None, None, True]},
        },
    }
