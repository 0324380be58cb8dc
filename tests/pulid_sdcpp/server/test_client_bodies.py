"""What real clients send becomes the request that they mean."""

import dataclasses
from typing import Any

import pytest

from client_bodies import IMG_GEN, OPENAI_EDITS, OPENAI_GENERATIONS, SDAPI_IMG2IMG, SDAPI_TXT2IMG
from pulid_sdcpp.server.bodies.mask_change import MaskChange
from pulid_sdcpp.server.openai.request import edits_request, generations_request
from pulid_sdcpp.server.request.body_fields import BodyFields
from pulid_sdcpp.server.request.normal_request import NormalRequest, normalised_fields
from pulid_sdcpp.server.request.person_fields import PersonFields
from pulid_sdcpp.server.sdapi.request import sdapi_request
from server_requests import MODELS, READERS, KeptText, Limits, request_of

PHOTO = (KeptText("p"),)


def normal(fields: BodyFields) -> NormalRequest:
    return normalised_fields(
        fields,
        models=MODELS,
        default_model="flux-dev",
        readers=READERS,
        limits=Limits(),
        draw_seed=lambda: 7,
    )


def codes(request: NormalRequest) -> list[str]:
    return [one["code"] for one in request.warnings]


@pytest.mark.parametrize("client", SDAPI_TXT2IMG)
def test_text_to_picture_of_a1111s_clients(client: str):
    body = SDAPI_TXT2IMG[client]
    request = normal(sdapi_request(body, from_picture=False).fields)
    assert request.options["prompt"] == "a cat"
    assert (request.options["width"], request.options["height"]) == (512, 512)
    expected = ["cfg_scale_ignored"] if body.get("cfg_scale", 1) != 1 else []
    assert codes(request) == expected
    assert "cfg_scale" not in request.options
    assert "hires" not in request.options


def test_what_each_of_them_means():
    found = {
        client: normal(sdapi_request(body, from_picture=False).fields)
        for client, body in SDAPI_TXT2IMG.items()
    }
    assert found["sillytavern"].model == "flux-schnell"
    assert found["sillytavern"].options["sampling_method"] == "euler"
    assert found["sillytavern sd.cpp"].options["scheduler"] == "karras"
    assert found["webuiapi"].people == (PersonFields(photos=PHOTO, options={"weight": 1.0}),)
    assert found["webuiapi"].options["eta"] == 1.0
    assert found["open-webui with settings"].seeds == (7, 8)


def test_from_a_picture_of_webuiapi():
    found = sdapi_request(SDAPI_IMG2IMG["webuiapi"], from_picture=True)
    request = normal(found.fields)
    assert found.mask == MaskChange(blur_px=4.0)
    assert request.pictures == {"init_image": PHOTO, "mask_image": PHOTO}
    assert request.options["strength"] == 0.75
    assert codes(request) == ["not_offered", "cfg_scale_ignored"]  # inpaint_full_res


@pytest.mark.parametrize("client", OPENAI_GENERATIONS)
def test_generations(client: str):
    request = normal(generations_request(OPENAI_GENERATIONS[client]).fields)
    assert request.model == "flux-dev"
    assert codes(request) == []
    is_named = "identity" in OPENAI_GENERATIONS[client]
    assert [person.identity for person in request.people] == ["alice"] * is_named


@pytest.mark.parametrize("client", OPENAI_EDITS)
def test_edits(client: str):
    request = normal(edits_request(OPENAI_EDITS[client]).fields)
    assert request.people[0].photos[0] == PHOTO[0]
    assert codes(request) == []


def test_sdcpp_webui():
    request = request_of(IMG_GEN["sdcpp-webui"])
    assert codes(request) == []
    assert request.people == ()
    assert request.pictures == {}
    assert request.options["loras"] == (("style.safetensors", 0.8),)
    assert request.delivery.preview == "proj"


@pytest.mark.parametrize(
    ("client", "person"),
    [
        (
            "mold",
            PersonFields(
                photos=(KeptText("p"), KeptText("q")),
                options={"weight": 0.9, "start_step": 1},
                name="alice",
            ),
        ),
        ("fal", PersonFields(photos=PHOTO, options={"weight": 1.0, "start_step": 2})),
        ("replicate", PersonFields(photos=PHOTO, options={"weight": 1.0, "start_step": 4})),
    ],
)
def test_identities_of_other_servers(client: str, person: PersonFields):
    request = request_of(IMG_GEN[client])
    assert codes(request) == []
    assert request.people == (person,)
    assert request.options["cfg_scale"] == 1.0
    assert request.options["steps"] == 20
    assert request.options["guidance"] in (3.5, 4.0)


def test_readers_may_change_masks():
    def invert(value: Any, param: str) -> KeptText:
        return KeptText(f"not {value}")

    readers = dataclasses.replace(READERS, mask=invert)
    body = {"prompt": "x", "init_image": "i", "mask_image": "m"}
    assert request_of(body, readers=readers).pictures["mask_image"] == (KeptText("not m"),)
