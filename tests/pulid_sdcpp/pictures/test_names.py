"""Names of a batch's pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.pictures.names import DEFAULT_TEMPLATE, file_name, slug

VALUES = {"index": 3, "person": "Alice + Bob", "preset": "pocket", "prompt": "In the café!",
          "seed": 7, "weight": "0.9 + 1"}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (DEFAULT_TEMPLATE, "alice-bob-in-the-café-s7-w0.9-1.png"),
        ("{person}/{index:04}.jpg", "alice-bob/0003.jpg"),
        ("{seed:2}", " 7.png"),
        ("{{x}}", "{x}.png"),
        ("v1.5", "v1.5.png"),
    ],
)
def test_a_template_is_filled_in(template: str, name: str) -> None:
    if name.startswith(" "):
        with pytest.raises(ValueError, match="begins or ends with a space"):
            file_name(template, VALUES)
    else:
        assert file_name(template, VALUES) == name


@pytest.mark.parametrize(
    "template",
    ["", "/a", "a//b", "../a", ".a", "a/.b", "{seed.real}", "{seed!r}", "{seed:>9999}", "{", "{}",
     "{nobody}", "a:b", "a\nb", "con", "con.png", "LPT1/a", "a./b", "x" * 201,
     "COM\u00b9", "lpt\u00b3.png", "a\x9b", "a\x7f", "a\u202eb", "a\x1b/b"],
)  # fmt: skip
def test_a_name_that_some_system_cannot_have_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="name is"):
        file_name(template, VALUES)


@given(st.text())
def test_any_text_becomes_a_part_of_a_name(text: str) -> None:
    part = slug(text)
    assert 0 < len(part) <= 47
    assert "/" not in part
    assert slug(text) == part
    file_name("{prompt}-{seed}", {**VALUES, "prompt": text.encode("utf-8", "replace").decode()})


def test_long_texts_with_one_beginning_are_told_apart() -> None:
    first, second = slug("word " * 20 + "one"), slug("word " * 20 + "two")
    assert first != second
    assert first.startswith("word-word-")
    assert slug("😀") != slug("😁")
