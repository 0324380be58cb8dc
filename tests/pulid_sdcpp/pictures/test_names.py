"""Names of pictures: the command line's, and a batch's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.pictures.names import (
    BATCH_FIELDS,
    DEFAULT_TEMPLATE,
    FIELDS,
    batch_name,
    fill_in,
    numbered_paths,
    safe_name,
    slug,
)

BATCH_VALUES = {"index": 3, "person": "Alice + Bob", "preset": "pocket", "prompt": "In the café!",
          "seed": 7, "weight": "0.9 + 1"}  # fmt: skip

VALUES: dict[str, object] = {
    "seed": 7,
    "index": 3,
    "person": "alice+bob",
    "prompt": 'a/b\\c: "who?"\n<x>|*',
    "preset": "pocket",
    "weight": "0.8",
    "date": "2026-01-31",
    "time": "10-05-09",
}


# Expected names: stable-diffusion.cpp, examples/cli/main.cpp, save_results.
@pytest.mark.parametrize(
    ("output", "count", "first", "expected"),
    [
        ("out.png", 1, 0, ["out.png"]),
        ("out.png", 2, 0, ["out_0.png", "out_1.png"]),
        ("a/out.jpg", 2, 5, ["a/out_5.jpg", "a/out_6.jpg"]),
        ("out", 1, 0, ["out.png"]),
        ("out", 2, 0, ["out_0.png", "out_1.png"]),
        ("out_%03d.png", 2, 0, ["out_000.png", "out_001.png"]),
        ("out_%d.png", 1, 7, ["out_7.png"]),
        ("100%%_%d.png", 1, 0, ["100%_0.png"]),
        ("100%%d.png", 1, 0, ["100%%d.png"]),
        ("100%.png", 2, 0, ["100%_0.png", "100%_1.png"]),
        ("%d/%d.png", 1, 3, ["3/3.png"]),
        ("a.b.png", 2, 0, ["a.b_0.png", "a.b_1.png"]),
        # Ours: with a field that differs, no number is needed.
        ("{prompt}.png", 2, 0, ["{prompt}_0.png", "{prompt}_1.png"]),
        ("{seed}.png", 2, 0, ["{seed}.png", "{seed}.png"]),
        ("{person}.{index}", 2, 0, ["{person}.{index}.png", "{person}.{index}.png"]),
        ("{seed}-%02d.png", 2, 0, ["{seed}-00.png", "{seed}-01.png"]),
    ],
)
def test_numbering_is_sd_clis(output: str, count: int, first: int, expected: list[str]) -> None:
    assert numbered_paths(Path(output), count, first) == [Path(name) for name in expected]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("out.png", "out.png"),
        ("{seed}-{index}.png", "7-3.png"),
        ("a/{person}/{date}_{time}.png", "a/alice+bob/2026-01-31_10-05-09.png"),
        ("{preset}-{weight}.png", "pocket-0.8.png"),
        ("{prompt}.png", "a-b-c-who-x.png"),
        ("{{seed}}.png", "{seed}.png"),
        ("{seed:04}-{index:02}.png", "0007-03.png"),
        ("{{{seed}}}.png", "{7}.png"),
        ("/tmp/{seed}.png", "/tmp/7.png"),
    ],
)
def test_fields_are_filled_in(template: str, expected: str) -> None:
    assert fill_in(Path(template), VALUES) == Path(expected)
    assert set(VALUES) == set(FIELDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ünïcode is fine: 猫", "Ünïcode-is-fine-猫"),
        ("../../etc/passwd", "etc-passwd"),
        ("...", "_"),
        ("", "_"),
        ("a\0b\x7fc", "a-b-c"),
        ("trailing. ", "trailing"),
        ("हिन्दी", "हिन्दी"),
        ("e\u0301", "\u00e9"),  # one spelling of a letter, whatever was typed
    ],
)
def test_a_value_is_safe_in_a_file_name(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def test_a_long_value_is_cut_between_letters() -> None:
    assert safe_name("猫" * 1000) == "猫" * 26  # 78 of 80 bytes
    assert len(safe_name("a " * 1000)) <= 80


@pytest.mark.parametrize("name", ["con", "NUL", "com1.x", "Aux", "COM\u00b9", "lpt\u00b2.x"])
def test_names_that_windows_keeps_for_itself_are_not_made(name: str) -> None:
    path = fill_in(Path("{person}.png"), {**VALUES, "person": name})
    assert path.name == f"_{name}.png"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{name}.png", "{name}; the fields are {seed}, {index}, {person}"),
        ("{}.png", "no field {};"),
        ("{seed:x}.png", "only a number of digits may stand behind seed in {seed}"),
        ("{person:04}.png", "nothing may stand behind person"),
        ("{seed!r}.png", "{seed}"),
        ("{0}.png", "{0}"),
        ("{seed.real}.png", "{seed.real}"),
        ("a{b.png", "a single brace"),
        ("a}b.png", "a single brace"),
    ],
)
def test_a_field_that_is_none_is_refused(template: str, words: str) -> None:
    with pytest.raises(ValueError, match="the output") as caught:
        fill_in(Path(template), VALUES)
    assert words in str(caught.value)


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
def test_a_batch_s_template_is_filled_in(template: str, name: str) -> None:
    if name.startswith(" "):
        with pytest.raises(ValueError, match="begins or ends with a space"):
            batch_name(template, BATCH_VALUES)
    else:
        assert batch_name(template, BATCH_VALUES) == name
    assert set(BATCH_VALUES) == set(BATCH_FIELDS)


@pytest.mark.parametrize(
    "template",
    ["", "/a", "a//b", "../a", ".a", "a/.b", "{seed.real}", "{seed!r}", "{seed:>9999}", "{", "{}",
     "{nobody}", "a:b", "a\nb", "con", "con.png", "LPT1/a", "a./b", "x" * 201,
     "COM\u00b9", "lpt\u00b3.png", "a\x9b", "a\x7f", "a\u202eb", "a\x1b/b"],
)  # fmt: skip
def test_a_name_that_some_system_cannot_have_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="name is"):
        batch_name(template, BATCH_VALUES)


@given(st.text())
def test_any_text_becomes_a_part_of_a_name(text: str) -> None:
    part = slug(text)
    assert 0 < len(part) <= 47
    assert "/" not in part
    assert slug(text) == part
    batch_name(
        "{prompt}-{seed}", {**BATCH_VALUES, "prompt": text.encode("utf-8", "replace").decode()}
    )


def test_long_texts_with_one_beginning_are_told_apart() -> None:
    first, second = slug("word " * 20 + "one"), slug("word " * 20 + "two")
    assert first != second
    assert first.startswith("word-word-")
    assert slug("😀") != slug("😁")


def test_help_and_pages_name_every_field() -> None:
    from pulid_sdcpp.cli.commands.generate import generate

    (output,) = (option for option in generate.params if option.name == "output")
    pages = Path(__file__).resolve().parents[3] / "docs"
    for text, fields in (
        (str(getattr(output, "help", "")), FIELDS),
        ((pages / "generate.md").read_text(encoding="utf-8"), FIELDS),
        ((pages / "batch.md").read_text(encoding="utf-8"), BATCH_FIELDS),
    ):
        assert [name for name in fields if f"{{{name}}}" not in text] == []
