"""JSON of clients that mean no good, and of those that do."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.bodies.json_body import (
    MAX_JSON_DEPTH,
    MAX_JSON_VALUES,
    check_json_type,
    json_object,
    json_value,
)
from pulid_sdcpp.server.errors import ApiError

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def refused(body: bytes) -> str:
    with pytest.raises(ApiError) as caught:
        json_value(body)
    assert (caught.value.code, caught.value.status) == ("bad_json", 400)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    return caught.value.message


@given(VALUES, st.booleans())
def test_json_means_what_it_means_to_python(value: Any, ascii_only: bool) -> None:
    assert json_value(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=40) | st.text('[]{}",:\\u0dtrue1eN. ', max_size=40).map(str.encode))
def test_anything_is_a_value_or_one_error(body: bytes) -> None:
    with contextlib.suppress(ApiError):
        value = json_value(body)
        assert json.loads(body.decode("utf-8-sig")) == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', "'a' stands in one object twice"),
        (b'[{"x": {"seed": 1, "seed": 1}}]', "'seed' stands in one object twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' stands in one object twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"[Infinity]", "Infinity is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "too large"),
        (b"[-1e999]", "too large"),
        (b"[" + b"1" * 401 + b"]", "more than 400 characters"),
        (b"[0." + b"1" * 400 + b"]", "more than 400 characters"),
        (b'["\\ud800"]', "half of a character, \\ud800"),
        (b'{"\\udfff": 1}', "half of a character"),
        (b'["\\ude00\\ud83d"]', "half of a character"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
        ("{}".encode("utf-16"), "UTF-8"),
        ("{}".encode("utf-16-le"), "line 1"),
        (b'{"a": 1,}', "line 1"),
        (b"{'a': 1}", "line 1"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
        (b'{"a": "line\nbreak"}', "control character"),
        (b"", "line 1"),
        (b'"open', "Unterminated"),
    ],
)
def test_what_is_no_json_is_told(body: bytes, words: str) -> None:
    assert words in refused(body)


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_depth_ends_at_32(opened: str) -> None:
    closed = "]" if opened == "[" else "}"
    at_most = opened * MAX_JSON_DEPTH + "1" + closed * MAX_JSON_DEPTH
    json_value(at_most.encode())
    assert "deeper than 32" in refused((opened + at_most + closed).encode())


def test_brackets_in_strings_are_no_depth() -> None:
    text = "[" * 50 + '\\"' + "{" * 50 + "\\\\"
    assert json_value(json.dumps([text, text, {text: "]"}]).encode()) == [text, text, {text: "]"}]


def test_as_many_values_as_allowed_are_taken() -> None:
    numbers = [1] * (MAX_JSON_VALUES - 2)
    assert json_value(json.dumps([numbers]).encode()) == [numbers]
    assert "more than 100,000 values" in refused(json.dumps([[*numbers, 1, 1]]).encode())


@pytest.mark.parametrize(
    "part", [b"[", b"[],", b'"",', b'{"":', b'\\"', b"\\", b'"', b"]", b"1", b"-", b" ", b'"\\""'],
    ids=ascii,
)  # fmt: skip
def test_ten_megabytes_of_anything_cost_little(part: bytes) -> None:
    body = b"[" + part * (10_000_000 // len(part))
    tracemalloc.start()
    start = time.process_time()
    refused(body)
    took, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 5
    assert peak < 12 * len(body)


def test_a_long_string_is_taken() -> None:
    text = "A" * 10_000_000
    assert json_object(json.dumps({"image": text}).encode()) == {"image": text}


def test_a_body_is_an_object() -> None:
    assert json_object(b'\xef\xbb\xbf {"a": [1]}') == {"a": [1]}
    assert json_object(b" \r\n") == {}
    for body in (b"[]", b'"text"', b"1", b"null"):
        with pytest.raises(ApiError, match="expected an object"):
            json_object(body)


def test_a_field_of_json_is_named() -> None:
    with pytest.raises(ApiError, match="people is not usable JSON") as caught:
        json_value(b"[", "people")
    assert caught.value.param == "people"


@pytest.mark.parametrize(
    "header",
    ["application/json", "Application/JSON; charset=utf-8", 'application/json;charset="UTF-8"',
     "application/json ; charset=utf8", " application/json;"],
)  # fmt: skip
def test_types_of_json(header: str) -> None:
    check_json_type(header)


@pytest.mark.parametrize(
    "header",
    [None, "", "text/plain", "text/plain; application/json", "application/jsonp",
     "application/json; charset=latin-1", "application/x-www-form-urlencoded",
     "multipart/form-data", "application/json, text/plain"],
)  # fmt: skip
def test_types_that_other_sites_can_send(header: str | None) -> None:
    with pytest.raises(ApiError, match="application/json") as caught:
        check_json_type(header)
    assert caught.value.status == 415
