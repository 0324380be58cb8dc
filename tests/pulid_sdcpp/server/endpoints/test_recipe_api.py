"""How pictures were made: texts of ours and of others as requests, and over HTTP."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import keep_person
from pulid_sdcpp.options.generation import MAX_SEED, GenerationOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.pictures.png_text import PictureText, format_text
from pulid_sdcpp.pictures.text_entries import entries_of
from pulid_sdcpp.server.calls.picture_recipe import recipe_in_text
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.normal_request import normalised
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.request.request_forms import to_json
from pulid_sdcpp.server.service.service import PictureService
from served import run_served

RECIPE = "/pulid/v1/recipe"
IDENTITY = Identity.from_array(np.full((4, 8), 0.5, np.float32))

A1111 = """a castle, <lora:ink:0.7>
in the fog
Negative prompt: blurry
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1234, Size: 600x520, \
Model hash: 0123456789, Model: dreamshaper_8, Clip skip: 2, Denoising strength: 0.55, \
Hires upscale: 1.5, Hires steps: 10, Hires upscaler: R-ESRGAN 4x+, Version: v1.10.1"""
FORGE = """a castle
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, \
Seed: 5, Size: 896x1152, Model hash: b1, Model: flux1-dev, Version: f2.0.1"""
SD_CPP = """a sunflower
Negative prompt: sky
Steps: 30, CFG scale: 5.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 197583933, Size: 512x512, \
Model: v1-5.safetensors, RNG: cuda, Sampler: dpm++2mv2 karras, TE: t5.gguf, \
Version: stable-diffusion.cpp"""


def test_a1111_s_text_without_the_cfg_that_would_burn_it() -> None:
    found = recipe_in_text(A1111)
    assert found.foreign
    assert found.version == "v1.10.1"
    assert dict(found.request.options) == {
        "prompt": "a castle, <lora:ink:0.7>\nin the fog",
        "negative_prompt": "blurry",
        "steps": 28,
        "sampling_method": "dpm++2m",
        "scheduler": "karras",
        "seed": 1234,
        "width": 608,
        "height": 528,
        "clip_skip": 2,
        "hires": True,
        "hires_scale": 1.5,
        "hires_steps": 10,
        "hires_denoising_strength": 0.55,
    }
    assert found.notes == (
        "it was made with the model 'dreamshaper_8'",
        "width 600 is made 608, a multiple of 16",
        "height 520 is made 528, a multiple of 16",
        "Hires upscaler 'R-ESRGAN 4x+' is not taken",
        "CFG scale '7' is not taken",
    )
    assert found.files_missing == ()


def test_forge_s_and_sd_cpp_s_texts() -> None:
    forge = recipe_in_text(FORGE)
    assert dict(forge.request.options) == {
        "prompt": "a castle",
        "steps": 20,
        "sampling_method": "euler",
        "scheduler": "simple",
        "cfg_scale": 1.0,
        "guidance": 3.5,
        "seed": 5,
        "width": 896,
        "height": 1152,
    }
    sd_cpp = recipe_in_text(SD_CPP)
    assert sd_cpp.request.options["cfg_scale"] == 5.0
    assert sd_cpp.request.options["guidance"] == 3.5
    assert sd_cpp.request.options["sampling_method"] == "dpm++2mv2"
    assert sd_cpp.request.options["scheduler"] == "karras"
    assert sd_cpp.notes == ("it was made with the model 'v1-5.safetensors'",)


def test_a_picture_that_started_from_another() -> None:
    text = "x\nSteps: 4, Seed: 1, Size: 64x64, Denoising strength: 0.4, Version: v1.9"
    found = recipe_in_text(text)
    assert found.request.options["strength"] == 0.4
    assert [one.field for one in found.files_missing] == ["init_image"]


@pytest.mark.parametrize(
    "values",
    [
        "Steps: 99999999, Sampler: no such, Seed: 99999999999999999999, Size: 1x99999999",
        f"Steps: -1, Sampler: , Seed: {MAX_SEED + 1}, Size: axb, CFG scale: nan",
        "Steps: 1e400, Guidance: inf, Seed: -5, Size: 0x0, Clip skip: x",
        "Steps: ٣, Hires resize: 7x9, Hires upscale: 99, Hires steps: nan, Denoising strength: x",
        "Steps: 4, Skip layers: [7, 8, 9, ], Scheduler: ??, Seed: 1",
        "Steps: 4, Distilled CFG Scale: -3, CFG scale: 1e9, Seed: 1, Version: f2",
    ],
)
def test_odd_values_are_left_out_and_named(values: str) -> None:
    found = recipe_in_text(f"a face\n{values}")
    body = to_json(found.request)
    json.dumps(body, allow_nan=False)
    request = normalised(
        body,
        models={"pocket": {}},
        default_model="pocket",
        readers=RequestFiles(Limits()).readers,
        limits=None,
    )
    assert request.options["prompt"] == "a face"
    assert len(found.notes) >= 1
    assert all("\n" not in note and len(note) < 300 for note in found.notes)


WORDS = st.sampled_from(
    ["1", "-1", "nan", "1e400", "64x64", "64x", "True", "karras", "aaaaaaaaaa", "0 0 1 1", "9" * 30]
)
KEYS = st.sampled_from(
    [
        *(entry.key for options in (GenerationOptions, Person) for entry in entries_of(options)),
        *("Seed", "Size", "Model", "Preset", "Denoising strength", "Guidance", "Scheduler"),
        *("Hires resize", "PuLID identity", "PuLID box", "PuLID mask", "Init image", "Ref image 1"),
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    prompt=st.text(max_size=20),
    pairs=st.lists(st.tuples(KEYS, WORDS | st.text(max_size=10)), min_size=3, max_size=12),
    version=st.sampled_from(["pulid-sdcpp 1", "f2.0", "stable-diffusion.cpp", "v1.9"]),
)
def test_any_text_is_a_request_or_none(
    prompt: str, pairs: list[tuple[str, str]], version: str
) -> None:
    line = ", ".join(f"{key}: {json.dumps(value)}" for key, value in pairs)
    try:
        found = recipe_in_text(f"{prompt}\n{line}, Version: {version}")
    except ApiError as error:
        if error.code != "no_recipe":
            raise
        return
    body = {**to_json(found.request), "model": ""}
    json.dumps(body, allow_nan=False)
    try:
        normalised(
            body,
            models={"pocket": {}},
            default_model="pocket",
            readers=RequestFiles(Limits()).readers,
        )
    except ApiError as error:  # a prompt that a picture may have and a request may not
        if found.foreign and "prompt" not in str(error):
            raise


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "just words",
        "contact sheet of a batch",
        "\nSteps: 4, Seed: 1, Size: 64x64",
        "x\nSteps: 4, Seed: x, Size: 64x64, Version: pulid-sdcpp 1",
        "x\nSteps: no, Seed: 1, Size: 64x64, Version: pulid-sdcpp 1",
        "x\nSteps: 4, Seed: 1, PuLID identity: 00, PuLID box: 1, Version: pulid-sdcpp 1",
    ],
)
def test_no_recipe(text: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        recipe_in_text(text)
    assert caught.value.code == "no_recipe"


def test_our_own_text_names_people_and_what_is_missing() -> None:
    values = {
        "Steps": "4",
        "Seed": str(MAX_SEED),
        "Size": "64x32",
        "Preset": "flux-dev-q4",
        "Init image": "beach.png",
        "Init image hash": "0123456789",
        "Denoising strength": "0.5",
        "PuLID identity 1": "aaaaaaaaaa",
        "PuLID weight 1": "0.5",
        "PuLID box 1": "0.0 0.0 0.5 1.0",
        "PuLID identity 2": "bbbbbbbbbb",
        "PuLID mask 2": "m.png",
        "PuLID mask 2 hash": "0123456789",
        "Version": "pulid-sdcpp 0.0.1",
    }
    found = recipe_in_text(format_text(PictureText("two", "", values)))
    body = to_json(found.request)
    assert body["model"] == "flux-dev-q4"
    assert body["seed"] == MAX_SEED
    assert (body["width"], body["height"], body["strength"]) == (64, 32, 0.5)
    assert body["people"][0] == {
        "identity": "aaaaaaaaaa",
        "weight": 0.5,
        "region": {"box": [0.0, 0.0, 0.5, 1.0]},
    } | {name: body["people"][0][name] for name in body["people"][0].keys() & {"start_step"}}
    assert [(one.field, one.name) for one in found.files_missing] == [
        ("init_image", "beach.png"),
        ("people[1].region.mask", "m.png"),
    ]
    assert found.people == ("aaaaaaaaaa", "bbbbbbbbbb")
    assert not found.foreign


def png_with(text: str | None) -> bytes:
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_text("parameters", text)
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "PNG", pnginfo=info)
    return content.getvalue()


def test_a_recipe_over_http_makes_the_same_request_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))

    async def test(client: Any, service: PictureService) -> None:
        keep_person("Rose", IDENTITY)
        body = {
            "prompt": "plain",
            "seed": 7,
            "steps": 3,
            "identity": "rose",
            "weight": 0.5,
            "width": 64,
            "height": 32,
        }
        job = (await client.post("/sdcpp/v1/img_gen", json=body)).json()["id"]
        assert (await service.finished(job)).status == "completed"
        answer = await client.get(f"/pulid/v1/pictures/{job}-0/recipe")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["people"] == [{"id": IDENTITY.short_hash, "name": "Rose", "known": True}]
        assert (found["foreign"], found["files_missing"]) == (False, [])
        again = (await client.post("/sdcpp/v1/img_gen", json=found["request"])).json()["id"]
        assert (await service.finished(again)).status == "completed"
        first, second = (service.picture(f"{one}-0", None)[2] for one in (job, again))
        assert Image.open(first).tobytes() == Image.open(second).tobytes()

        content = first.read_bytes()
        encoded = base64.b64encode(content).decode()
        for sent in (
            {"content": content, "headers": {"content-type": "image/png"}},
            {"files": {"image": ("any.png", content)}},
            {"json": {"image": encoded}},
        ):
            assert (await client.post(RECIPE, **sent)).json() == found
        await client.delete(f"/pulid/v1/identities/{IDENTITY.short_hash}")
        answer = await client.get(f"/pulid/v1/pictures/{job}-0/recipe")
        (person,) = answer.json()["people"]
        assert person["id"] == IDENTITY.short_hash
        assert person["name"] == ""

    run_served(tmp_path, test)


def test_what_is_sent_for_a_recipe(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        image = {"content-type": "image/png"}
        foreign = await client.post(RECIPE, content=png_with(FORGE), headers=image)
        assert foreign.json()["foreign"] is True
        assert foreign.json()["request"]["sample_params"]["guidance"] == {
            "distilled_guidance": 3.5,
            "txt_cfg": 1.0,
        }
        request = body_fields(foreign.json()["request"], own=True)
        assert request.warnings == ()
        cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
            ({"content": png_with(None), "headers": image}, (400, "no_recipe")),
            ({"content": b"text", "headers": image}, (400, "bad_image")),
            ({"content": b"", "headers": image}, (400, "invalid_value")),
            ({"json": {}}, (400, "invalid_value")),
            ({"json": {"image": "!"}}, (400, "bad_base64")),
            ({"json": {"image": "AAAA", "x": 1}}, (400, "unknown_field")),
            ({"json": {"image": "https://example.org/x.png"}}, (400, "url_not_allowed")),
            ({"content": png_with(FORGE), "headers": {"content-type": "x/y"}}, (415, "wrong_type")),
        ]
        for sent, expected in cases:
            answer = await client.post(RECIPE, **sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == expected, sent
        answer = await client.get("/pulid/v1/pictures/job_x-0/recipe")
        assert answer.status_code == 404

    run_served(tmp_path, test)
