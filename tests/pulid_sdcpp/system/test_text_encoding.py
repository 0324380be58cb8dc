"""Text files as people's programs write them."""

from __future__ import annotations

import codecs

import pytest

from pulid_sdcpp.system.text_encoding import decoded

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
