"""Errors of edits speak of the picture that was sent."""

from __future__ import annotations

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.openai.edit_error import edit_error
from pulid_sdcpp.server.openai.request import edits_request, generations_request

ADVICE = "give image_role init or reference if the picture is no photo of a person"
ONE = edits_request({"prompt": "x", "image": "p"})
SEVERAL = edits_request({"prompt": "x", "image[]": ["p", "q"]})


@pytest.mark.parametrize(
    ("error", "param", "message"),
    [
        (
            ApiError("no_face", "photo: no face was found", "photo"),
            "image",
            f"image: no face was found; {ADVICE}",
        ),
        (
            ApiError("no_face", "no face was found"),
            "image",
            f"no face was found; {ADVICE}",
        ),
        (ApiError("bad_image", "photo: is a GIF", "photo"), "image", "image: is a GIF"),
        (
            ApiError("identity_conflict", "identity and photo are given", "photo"),
            "image",
            "identity and image are given",
        ),
        (ApiError("does_not_fit", "too large"), None, "too large"),
        (ApiError("invalid_value", "n is 11", "n"), "n", "n is 11"),
    ],
)
def test_the_person_is_called_as_it_was_sent(
    error: ApiError, param: str | None, message: str
) -> None:
    found = edit_error(error, ONE)
    assert (found.code, found.param, found.message) == (error.code, param, message)
    assert found.status == error.status


def test_one_of_several() -> None:
    found = edit_error(ApiError("bad_image", "photos[1]: is a GIF", "photos[1]"), SEVERAL)
    assert (found.param, found.message) == ("image[1]", "image[1]: is a GIF")


@pytest.mark.parametrize(
    "request_",
    [
        generations_request({"prompt": "x", "photo": "p"}),
        edits_request({"prompt": "x", "image": "p", "image_role": "init", "photo": "q"}),
    ],
)
def test_other_requests_have_their_own_photos(request_) -> None:
    error = ApiError("no_face", "photo: no face was found", "photo")
    assert edit_error(error, request_) is error
