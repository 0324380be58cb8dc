"""Files in fields: base64 in all its forms, to the byte, and what is no file."""

from __future__ import annotations

import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.bodies.given_bytes import Fetch, given_bytes
from pulid_sdcpp.server.errors import ApiError

MOST = 1000


def taken(value: object, fetch: Fetch | None = None) -> bytes:
    return given_bytes(value, param="photo", max_bytes=MOST, fetch=fetch)


def code_of(value: object, fetch: Fetch | None = None) -> str:
    with pytest.raises(ApiError) as caught:
        taken(value, fetch)
    assert caught.value.param == "photo"
    assert caught.value.message.startswith("photo")
    assert len(caught.value.message) < 300
    assert "\n" not in caught.value.message
    return caught.value.code


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


@given(st.binary(min_size=1, max_size=200))
def test_every_form_gives_the_same_bytes(content: bytes) -> None:
    text = base64_of(content)
    for form in (
        content,
        bytearray(content),
        memoryview(content),
        text,
        f" {text}\n",
        textwrap.fill(text, 76),
        "\r\n".join(textwrap.wrap(text, 60)),
        f"data:image/png;base64,{text}",
        f"DATA:image/jpeg;charset=utf-8;Base64,\n{text}",
        f"data:;base64,{text}",
    ):
        assert taken(form) == content


@given(st.text(max_size=30))
def test_any_text_is_bytes_or_one_error(text: str) -> None:
    try:
        content = taken(text)
    except ApiError as error:
        found = error.code
    else:
        found = "taken" if content else "empty"
    assert found in ("taken", "bad_base64", "url_not_allowed", "invalid_value")


@pytest.mark.parametrize("length", [MOST - 2, MOST - 1, MOST])
def test_the_limit_is_to_the_byte(length: int) -> None:
    content = b"x" * length
    for form in (content, base64_of(content), "data:image/png;base64," + base64_of(content)):
        assert taken(form) == content


@pytest.mark.parametrize("length", [MOST + 1, MOST + 2, MOST + 3, 10 * MOST])
def test_a_byte_more_is_too_large(length: int) -> None:
    content = b"x" * length
    for form in (content, base64_of(content), "data:image/png;base64," + base64_of(content)):
        assert code_of(form) == "too_large"


def test_a_large_text_is_refused_by_its_length_whatever_it_is() -> None:
    assert code_of("!" * 2 * MOST) == "too_large"


@pytest.mark.parametrize(
    "text",
    ["AAA", "AAAA=", "A===", "AA=A", "AA==AAAA", "AAAA!", "AA-_", "AAAA\0", "Ä", "AAAA\u2028",
     "=", "====", "photo.png", "../x.png", "C:\\photo.png", "data:image/png,AAAA",
     "data:image/svg+xml;utf8,<svg/>", "data:image/png;base64,data:image/png;base64,AAAA",
     "data:" + "x" * 300 + ";base64,AAAA", "[object Object]", "<svg/>"],
)  # fmt: skip
def test_what_is_no_base64(text: str) -> None:
    assert code_of(text) in ("bad_base64", "url_not_allowed")
    if not text.startswith("data:"):
        assert code_of(text) == "bad_base64"


@pytest.mark.parametrize(
    "value",
    [None, 1, True, 1.5, [], {}, {"image": "AAAA"}, ["AAAA"], "", " ", b"", "data:;base64,"],
)
def test_what_is_no_file(value: object) -> None:
    assert code_of(value) == "invalid_value"


@pytest.mark.parametrize(
    "address",
    ["http://example.org/a.png", "https://example.org/a.png", " HTTPS://example.org", "HtTp://x",
     "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "file:a.png", "ftp://x/y",
     "//example.org/a.png", "blob:https://x/y", "javascript:alert(1)", "gopher://x", "\thttp://x",
     "http:example.org"],
)  # fmt: skip
def test_addresses_are_refused(address: str) -> None:
    assert code_of(address) == "url_not_allowed"


def test_only_https_is_fetched() -> None:
    asked = []

    def fetch(url: str, param: str) -> bytes:
        asked.append((url, param))
        return b"content"

    assert taken(" https://example.org/a.png\n", fetch) == b"content"
    assert asked == [("https://example.org/a.png", "photo")]
    for other in ("http://example.org/a.png", "file:///a.png", "//example.org/a.png"):
        assert code_of(other, fetch) == "url_not_allowed"
    assert len(asked) == 1


def test_what_was_fetched_has_the_same_limit() -> None:
    assert taken("https://x/", lambda *_: b"x" * MOST)
    assert code_of("https://x/", lambda *_: b"x" * (MOST + 1)) == "too_large"
