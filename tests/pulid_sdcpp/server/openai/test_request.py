"""OpenAI's bodies become requests."""

from typing import Any

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.openai.request import (
    OpenaiRequest,
    edits_request,
    generations_request,
)
from pulid_sdcpp.server.request.normal_request import NormalRequest, normalised_fields
from pulid_sdcpp.server.request.person_fields import PersonFields
from server_requests import MODELS, READERS, KeptText, Limits


def normal(found: OpenaiRequest) -> NormalRequest:
    return normalised_fields(
        found.fields,
        models=MODELS,
        default_model="flux-dev",
        readers=READERS,
        limits=Limits(),
        draw_seed=lambda: 7,
    )


def generated(body: dict[str, Any], **options: Any) -> NormalRequest:
    return normal(generations_request({"prompt": "x", **body}, **options))


def edited(body: dict[str, Any], **options: Any) -> NormalRequest:
    return normal(edits_request({"prompt": "x", **body}, **options))


def error_of(make: Any, body: dict[str, Any], **options: Any) -> tuple[str, str | None, int]:
    with pytest.raises(ApiError) as caught:
        make(body, **options)
    return caught.value.code, caught.value.param, caught.value.status


def codes(request: NormalRequest) -> list[tuple[str, str]]:
    return [(one["code"], one["field"]) for one in request.warnings]


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ("1024x768", (1024, 768)),
        (" 512 X 512 ", (512, 512)),
        ("auto", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_sizes(size: str | None, sides: tuple[int | None, int | None]):
    request = generated({"size": size})
    assert (request.options.get("width"), request.options.get("height")) == sides


@pytest.mark.parametrize("size", ["large", "1024", "1x", "-1x5", "99999999x5", 1024])
def test_wrong_sizes(size: Any):
    assert error_of(generated, {"size": size}) == ("invalid_value", "size", 400)


def test_sizes_are_warned_of_and_refused_by_their_field():
    assert codes(generated({"size": "1000x768"})) == [("size_rounded", "size")]
    assert error_of(generated, {"size": "4096x4096"})[1] == "size"
    assert error_of(generated, {"size": "9000x16"})[1] == "size"


def test_a_full_body():
    body = {
        "prompt": "x",
        "model": "dall-e-3",
        "n": 2,
        "size": "512x768",
        "response_format": "url",
        "output_format": "jpeg",
        "output_compression": 80,
        "stream": True,
        "partial_images": 2,
        "quality": "hd",
        "style": "vivid",
        "moderation": "low",
        "user": "u",
        "safety_identifier": "s",
        "background": "opaque",
        "identity": "alice",
        "id_weight": 0.9,
        "seed": 7,
    }
    found = generations_request(body)
    assert (found.response_format, found.stream, found.partial_images) == ("url", True, 2)
    request = normal(found)
    assert request.warnings == ()
    assert request.model == "flux-dev"
    assert request.seeds == (7, 8)
    assert request.people == (PersonFields(identity="alice", options={"weight": 0.9}),)
    assert request.delivery.output_format == "jpeg"


def test_defaults():
    found = generations_request({"prompt": "x"})
    assert (found.response_format, found.stream, found.partial_images) == ("b64_json", False, 0)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"background": "transparent"}, "background"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": "svg"}, "output_format"),
        ({"frame_count": 4}, "frame_count"),
        ({"frame_duration_ms": 40}, "frame_duration_ms"),
        ({"complexity": 1}, "complexity"),
        ({"svg": {}}, "svg"),
        ({"markup": b"p"}, "markup"),
    ],
)
def test_what_is_not_offered_is_an_error(body: dict[str, Any], param: str):
    assert error_of(generated, body) == ("unsupported", param, 400)
    assert error_of(edited, {**body, "image": "p"}) == ("unsupported", param, 400)


def test_nulls_say_nothing():
    names = ("frame_count", "svg", "background", "output_format", "stream", "partial_images", "n")
    assert generated(dict.fromkeys(names)).warnings == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": "file"}, "response_format"),
        ({"stream": "maybe"}, "stream"),
        ({"partial_images": 4}, "partial_images"),
        ({"n": 11}, "n"),
        ({"prompt": ""}, "prompt"),
        ({"image_role": "face"}, "image_role"),
    ],
)
def test_wrong_values(body: dict[str, Any], param: str):
    assert error_of(generated, body)[:2] == ("invalid_value", param)


def test_unknown_fields():
    assert codes(generated({"stepz": 3})) == [("unknown_field", "stepz")]
    assert error_of(generated, {"stepz": 3}, strict=True) == ("unknown_field", "stepz", 400)


def test_extras_in_the_prompt():
    prompt = 'x<sd_cpp_extra_args>{"seed": 3, "width": 512}</sd_cpp_extra_args>'
    request = generated({"prompt": prompt, "size": "1024x1024"})
    assert (request.seeds, request.options["width"], request.options["height"]) == ((3,), 512, 1024)


PERSON = {"people": (PersonFields(photos=(KeptText("p"),)),), "pictures": {}}
START: dict[str, Any] = {"people": (), "pictures": {"init_image": (KeptText("p"),)}}
LOOK = {"people": (), "pictures": {"ref_images": (KeptText("p"),)}}
MASKED = {
    "people": (),
    "pictures": {"init_image": (KeptText("p"),), "mask_image": (KeptText("m"),)},
}
ALICE = {"people": (PersonFields(identity="alice"),), "pictures": START["pictures"]}


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        ({"image": "p"}, {}, PERSON),
        ({"image[]": ["p"]}, {}, PERSON),
        ({"images": [{"image_url": "data:image/png;base64,p"}]}, {}, PERSON),
        ({"image": "p", "mask": "m"}, {}, MASKED),
        ({"image": "p", "mask": {"image_url": "m"}}, {"default_role": "init"}, MASKED),
        ({"image": "p"}, {"takes_references": True}, LOOK),
        ({"image": "p", "mask": "m"}, {"takes_references": True}, MASKED),
        ({"image": "p", "identity": "alice"}, {}, ALICE),
        ({"image": "p", "pulid": {"id": "alice"}}, {}, ALICE),
        ({"image": "p", "people": [{"id": "alice"}]}, {}, ALICE),
        ({"image": "p"}, {"default_role": "init"}, START),
        ({"image": "p"}, {"default_role": "reference"}, LOOK),
        ({"image": "p", "image_role": "identity"}, {"default_role": "init"}, PERSON),
        ({"image": "p", "image_role": "init"}, {}, START),
        ({"image": "p", "image_role": "auto"}, {"default_role": "reference"}, LOOK),
    ],
)
def test_what_the_picture_of_an_edit_is(
    body: dict[str, Any], options: dict[str, Any], expected: dict[str, Any]
):
    request = edited(body, **options)
    assert {"people": request.people, "pictures": request.pictures} == expected
    assert request.warnings == ()


def test_several_pictures_are_one_person():
    request = edited({"image": ["p", "q"]})
    assert request.people == (PersonFields(photos=(KeptText("p"), KeptText("q"))),)


def test_a_kept_identity_by_its_id():
    request = edited({"images": [{"file_id": "alice"}]})
    assert request.people == (PersonFields(identity="alice"),)


@pytest.mark.parametrize(
    ("body", "weight"),
    [
        ({}, None),
        ({"input_fidelity": "high"}, None),
        ({"input_fidelity": "low"}, 0.8),
        ({"input_fidelity": "low", "id_weight": 2}, 2.0),
        ({"input_fidelity": "low", "pulid": {"weight": 2}}, 2.0),
    ],
)
def test_fidelity_is_a_weight(body: dict[str, Any], weight: float | None):
    (person,) = edited({"image": "p", **body}).people
    assert person.options.get("weight") == weight


@pytest.mark.parametrize(("encoder", "weight"), [("flux", 0.8), ("sdxl-v1", 0.6)])
def test_low_fidelity_is_below_the_model_s_own_weight(encoder: str, weight: float):
    (person,) = edited({"image": "p", "input_fidelity": "low"}, encoders=(encoder,)).people
    assert person.options["weight"] == weight


def test_fidelity_says_nothing_of_a_picture_to_start_from():
    assert edited({"image": "p", "image_role": "init", "input_fidelity": "low"}).people == ()


def test_the_mask_is_told_of():
    assert edits_request({"prompt": "x", "image": "p", "mask": "m"}).has_mask
    assert not edits_request({"prompt": "x", "image": "p"}).has_mask


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_value", "image"),
        ({"image": "p", "image[]": ["q"]}, "invalid_value", "image[]"),
        ({"image": ["p"] * 17}, "invalid_value", "image"),
        ({"image": ["p", "q"], "mask": "m"}, "invalid_value", "image"),
        ({"image": "p", "mask": "m", "image_role": "identity"}, "invalid_value", "mask"),
        ({"images": [{"url": "p"}]}, "invalid_value", "images[0]"),
        (
            {"images": [{"file_id": "a"}, {"file_id": "b"}]},
            "identity_conflict",
            "images",
        ),
        ({"image": "bad", "image_role": "init"}, "bad_image", "image"),
        ({"image": ["bad"], "image_role": "reference"}, "bad_image", "image[0]"),
        ({"image": "p", "mask": "bad"}, "bad_image", "mask"),
        (
            {"image": "p", "image_role": "identity", "identity": "alice"},
            "identity_conflict",
            "photo",
        ),
    ],
)
def test_errors_of_edits(body: dict[str, Any], code: str, param: str):
    assert error_of(edited, body)[:2] == (code, param)
