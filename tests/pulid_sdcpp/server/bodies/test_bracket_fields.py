"""Objects in forms, as clients' libraries write them."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from pulid_sdcpp.server.bodies.bracket_fields import unbracketed
from pulid_sdcpp.server.errors import ApiError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prompt": "x", "image": [b"1", b"2"]}, {"prompt": "x", "image": [b"1", b"2"]}),
        (
            {"pulid[weight]": "0.9", "seed": "7", "pulid[start_step]": "1"},
            {"pulid": {"weight": "0.9", "start_step": "1"}, "seed": "7"},
        ),
        ({"a[b][c]": "1", "a[b][d]": "2"}, {"a": {"b": {"c": "1", "d": "2"}}}),
        ({"pulid[photos]": ["p", "q"]}, {"pulid": {"photos": ["p", "q"]}}),
        (
            {"people[][identity]": "alice", "people[][weight]": "1"},
            {"people": [{"identity": "alice", "weight": "1"}]},
        ),
        (
            {"people[][identity]": ["alice", "bob"], "people[][weight]": ["1", "2"]},
            {"people": [{"identity": "alice", "weight": "1"}, {"identity": "bob", "weight": "2"}]},
        ),
        ({"odd]": "1", "[a]": "2", "b[": "3"}, {"odd]": "1", "[a]": "2", "b[": "3"}),
    ],
)
def test_objects(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert unbracketed(values) == expected


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"people[][identity]": ["alice", "bob"], "people[][weight]": "1"}, "people"),
        ({"people[][identity]": "alice", "people": "[]"}, "people"),
        ({"people": "[]", "people[][identity]": "alice"}, "people"),
        ({"pulid": "{}", "pulid[weight]": "1"}, "pulid"),
        ({"pulid[weight]": "1", "pulid": "{}"}, "pulid"),
        ({"pulid[weight]": "1", "pulid[weight][x]": "1"}, "pulid"),
        ({"people[]": "1", "people[][][a]": "1"}, "people"),
        ({"a[b][][c]": "1"}, "a"),
    ],
)
def test_what_cannot_be_told(values: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError, match="JSON as text") as caught:
        unbracketed(values)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


def test_what_openais_library_sends() -> None:
    from pulid_sdcpp.server.bodies.form_body import form_body

    found: dict[str, Any] = {}

    def answer(request: Any) -> Any:
        form = form_body(request.read(), request.headers["content-type"])
        found.update(unbracketed(form.values()))
        return httpx2.Response(200, json={"created": 1, "data": []})

    transport = httpx2.MockTransport(answer)
    with openai.OpenAI(
        api_key="k", base_url="http://x/v1", http_client=httpx2.Client(transport=transport)
    ) as client:
        person = {"identity": "alice", "weight": 1}
        client.images.edit(
            image=b"p", prompt="x", extra_body={"people": [person], "pulid": {"true_cfg": 2}}
        )
    assert found == {
        "image": b"p",
        "prompt": "x",
        "people": [{"identity": "alice", "weight": "1"}],
        "pulid": {"true_cfg": "2"},
    }
