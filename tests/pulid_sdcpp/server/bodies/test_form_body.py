"""Forms, as browsers and clients send them, and as nobody should."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.bodies.form_body import MAX_FORM_PARTS, form_body
from pulid_sdcpp.server.errors import ApiError

pytest.importorskip("python_multipart")

BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes | str, filename: str | None = None, *headers: str) -> bytes:
    body = content.encode() if isinstance(content, str) else content
    file = "" if filename is None else f'; filename="{filename}"'
    lines = [f'Content-Disposition: form-data; name="{name}"{file}', *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def form(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    start = f"--{boundary}\r\n".encode()
    return b"".join(start + one + b"\r\n" for one in parts) + f"--{boundary}--\r\n".encode()


def code_of(body: bytes, content_type: str | None = TYPE) -> str:
    with pytest.raises(ApiError) as caught:
        form_body(body, content_type)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    return caught.value.code


def test_a_form_as_clients_send_it() -> None:
    png = bytes(range(256)) * 3 + b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n"
    found = form_body(
        form(
            part("prompt", "Zoë, 李雷\r\nsecond line"),
            part("n", "2", None, "Content-Type: text/plain; charset=utf-8"),
            part("image[]", png, "one.png", "Content-Type: image/png"),
            part("image[]", b"two", "../../etc/passwd", "Content-Type: image/png"),
            part("mask", b"", "", "Content-Type: application/octet-stream"),
            part("photo", b"three", "blob"),
        ),
        TYPE,
    )
    assert found.texts == {"prompt": ("Zoë, 李雷\r\nsecond line",), "n": ("2",)}
    assert found.files == {"image[]": (png, b"two"), "photo": (b"three",)}
    assert found.parts() == {"image[]": png, "photo": b"three"}
    assert found.values() == {
        "prompt": "Zoë, 李雷\r\nsecond line",
        "n": "2",
        "image": [png, b"two"],
        "photo": b"three",
    }


@pytest.mark.parametrize(
    ("parts", "values"),
    [
        ([part("a", "1")], {"a": "1"}),
        ([part("a[]", "1")], {"a": ["1"]}),
        ([part("a", "1"), part("a", "2")], {"a": ["1", "2"]}),
        ([part("a", "1"), part("a[]", "2")], {"a": ["1", "2"]}),
        ([part("a[]", "1"), part("a", "2")], {"a": ["1", "2"]}),
        ([part("a", ""), part("b", b"", "x.png")], {"a": "", "b": b""}),
        ([part("a", b"x", "")], {"a": b"x"}),
    ],
)
def test_names_that_come_twice_have_lists(parts: list[bytes], values: dict[str, Any]) -> None:
    assert form_body(form(*parts), TYPE).values() == values


@given(st.binary(max_size=300))
def test_files_come_as_they_were_sent(content: bytes) -> None:
    if f"--{BOUNDARY}".encode() not in content:
        assert form_body(form(part("a", content, "x")), TYPE).files == {"a": (content,)}


def test_nothing_is_written_to_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a file was made")

    for name in ("SpooledTemporaryFile", "NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, never)
    content = b"x" * 5_000_000
    assert form_body(form(part("a", content, "x")), TYPE).files["a"] == (content,)


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "multipart/form-data", "multipart/mixed; boundary=x",
     "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71,
     "multipart/form-data; boundary=\u00e9", "multipart/form-data; boundary=a\x00b",
     'multipart/form-data; boundary="x "', "application/x-www-form-urlencoded"],
)  # fmt: skip
def test_types_of_other_bodies(content_type: str | None) -> None:
    assert code_of(form(part("a", "1")), content_type) == "wrong_type"


@pytest.mark.parametrize("boundary", ["x", "x" * 70, "a b=c:d/e'f(g)+_,.?"])
def test_boundaries(boundary: str) -> None:
    found = form_body(
        form(part("a", "1"), boundary=boundary), f'Multipart/Form-Data; boundary="{boundary}"'
    )
    assert found.texts == {"a": ("1",)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        form(part("a", "1"))[:-4],
        form(part("a", "1"))[:60],
        form(part("", "1")),
        form(part("x" * 101, "1")),
        form(b"\r\n1"),
        form(b'Content-Disposition: attachment; name="a"\r\n\r\n1'),
        form(part("a", b"\xff")),
        form(part("a", "1", None, "Content-Transfer-Encoding: base64")),
        form(part("a", "1", None, 'Content-Disposition: form-data; name="b"')),
        form(b"Content-Disposition form-data\r\n\r\n1"),
        form(part("a", "1", None, *[f"X-{number}: y" for number in range(50)])),
        form(part("a", "1", None, "X: " + "y" * 100_000)),
        form(b'Content-Disposition: form-data; name="\xff"\r\n\r\n1'),
        form(part("a", "1"), boundary="another"),
    ],
)
def test_forms_that_are_damaged(body: bytes) -> None:
    assert code_of(body) == "invalid_value"


def test_as_many_parts_as_allowed() -> None:
    parts = [part("a", str(number)) for number in range(MAX_FORM_PARTS)]
    assert len(form_body(form(*parts), TYPE).texts["a"]) == MAX_FORM_PARTS
    assert code_of(form(*parts, part("a", "x"))) == "invalid_value"


@pytest.mark.parametrize("filling", [b"\r\n", b"-", b"\r\n--", b"\r", b"x", b"\r\n----WebKitForm"])
def test_ten_megabytes_of_anything_take_little_time(filling: bytes) -> None:
    content = filling * (10_000_000 // len(filling))
    start = time.process_time()
    assert form_body(form(part("a", content, "x")), TYPE).files["a"] == (content,)
    assert time.process_time() - start < 10


@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=3)), max_size=3))
def test_a_changed_form_is_a_form_or_one_error(changes: list[tuple[float, bytes]]) -> None:
    body = bytearray(form(part("a", "1"), part("b", b"x" * 40, "x.png")))
    for place, new in changes:
        at = int(place * len(body))
        body[at : at + len(new)] = new
    try:
        found = form_body(bytes(body), TYPE)
    except ApiError as error:
        code = error.code
    else:
        code = "taken" if found.values() is not None else ""
    assert code in ("taken", "invalid_value")


def test_a_form_that_is_sent_again_has_the_same_hash() -> None:
    def form(boundary: str, *parts: tuple[str, bytes]) -> str:
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode()
            + content
            + b"\r\n"
            for head, content in parts
        )
        kind = f"multipart/form-data; boundary={boundary}"
        return form_body(body + f"--{boundary}--\r\n".encode(), kind).sha256()

    prompt = ('name="prompt"', b"a cat")
    image = ('name="image"; filename="a.png"', b"1")
    hashes = [
        form("one", prompt, image),
        form("other", prompt, image),
        form("one", prompt),
        form("one", prompt, ('name="image"', b"1")),
        form("one", ('name="prompt"', b"a ca"), ('name="timage"; filename="a.png"', b"1")),
        form("one", prompt, image, image),
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == len(hashes) - 1
