"""Text files as people's programs write them."""

from __future__ import annotations

import codecs
import sys

import pytest

from pulid_sdcpp.text_encoding import decoded, toml_problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = 'prompts = ["Zoë, 日本"]\r\n'


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16, little end first", "utf-16, big end first"],
)
def test_the_encodings_of_editors_and_shells_are_read(content: bytes) -> None:
    assert decoded(content) == TEXT


@pytest.mark.parametrize(
    ("content", "byte"),
    [
        ("Zoë".encode("latin-1"), 2),
        (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), 0),
        (codecs.BOM_UTF16_LE + b"a\0b", 4),
    ],
)
def test_others_are_refused_with_the_place(content: bytes, byte: int) -> None:
    with pytest.raises(
        ValueError, match=f"expected UTF-8 text, found something else at byte {byte}"
    ):
        decoded(content)


def problem(text: str) -> str:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    return toml_problem(text, caught.value)


@pytest.mark.parametrize(
    "line", [r'portraits = "C:\Users\me\rose.png"', r'a = ["x", "D:\models"]', r'a = "..\photos"']
)
def test_a_windows_path_in_double_quotes_gets_a_hint(line: str) -> None:
    said = problem(f"steps = 1\n{line}\nseed = 2")
    assert "line 2" in said
    assert r"goes into single quotes, as 'C:\photos\alice.jpg'" in said


@pytest.mark.parametrize("line", ["a = ", 'a = "b', r"a = 'C:\Users' 5"])
def test_what_is_wrong_otherwise_gets_none(line: str) -> None:
    assert "single quotes" not in problem(line)


def test_what_is_too_deep_is_said_in_words() -> None:
    assert toml_problem("", RecursionError("maximum recursion depth")) == "too deeply nested"
