"""Whatever JSON a client sends, it becomes a request or an `ApiError`, never another exception."""

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import client_bodies
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.openai.request import edits_request, generations_request
from pulid_sdcpp.server.request.aliases import NAMES, NOT_OFFERED, PAIR_PLACES, PERSON_NAMES
from pulid_sdcpp.server.request.body_fields import BodyFields
from pulid_sdcpp.server.request.normal_request import normalised_fields
from pulid_sdcpp.server.request.request_forms import to_json
from pulid_sdcpp.server.sdapi.request import sdapi_request
from server_requests import MODELS, READERS, Limits, readers_of, request_of

_OF_CLIENTS = [
    body for family in client_bodies.__all__ for body in getattr(client_bodies, family).values()
]
_KEYS = sorted(
    {part for place in (*NAMES, *NOT_OFFERED, *PAIR_PLACES) for part in place.split(".")}
    | {key for body in _OF_CLIENTS for key in body}
    | {*PERSON_NAMES, "people", "pulid", "model", "name", "box", "mask", "args", "multiplier"}
    | {"preview", "title", "store", "image[]", "images", "file_id", "image_url", "ControlNet"}
)
_LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5000),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["euler", "Karras", "p", "bad", "left", "20%", "1,2,3,4", "../a", "auto"]),
    st.just("<sd_cpp_extra_args>{}</sd_cpp_extra_args>x"),
)
_JSON = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    ),
    max_leaves=8,
)
_BODY = st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=8).map(
    lambda body: {"prompt": "x", **body}
)


def _made(fields: BodyFields) -> None:
    request = normalised_fields(
        fields,
        models=MODELS,
        default_model="flux-dev",
        readers=READERS,
        limits=Limits(),
        draw_seed=lambda: 7,
    )
    text = json.dumps(to_json(request), allow_nan=False)
    again = request_of(json.loads(text), readers=readers_of(request), limits=None, own=True)
    assert again == request


def _changed(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {**body, **{key: value for key, value in changes.items() if key != "prompt"}}


@given(st.sampled_from(_OF_CLIENTS), _BODY, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_body_of_any_family(
    body: dict[str, Any], changes: dict[str, Any], strict: bool, flag: bool
):
    for given_body in (changes, _changed(body, changes)):
        with contextlib.suppress(ApiError):
            assert request_of(given_body, strict=strict, own=flag).seeds
        with contextlib.suppress(ApiError):
            _made(
                sdapi_request(
                    given_body, from_picture=flag, honour_cfg_scale=strict, strict=strict
                ).fields
            )
        with contextlib.suppress(ApiError):
            _made(generations_request(given_body, strict=strict).fields)
        with contextlib.suppress(ApiError):
            _made(edits_request(given_body, takes_references=flag, strict=strict).fields)
