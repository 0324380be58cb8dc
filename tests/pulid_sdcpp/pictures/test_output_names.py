from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.pictures.output_names import FIELDS, fill_in, numbered_paths, safe_name

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
        ("{}.png", "has {};"),
        ("{seed:04}.png", "{seed}"),
        ("{seed!r}.png", "{seed}"),
        ("{0}.png", "{0}"),
        ("{seed.real}.png", "{seed.real}"),
        ("a{b.png", "a brace by itself"),
        ("a}b.png", "a brace by itself"),
    ],
)
def test_a_field_that_is_none_is_refused(template: str, words: str) -> None:
    with pytest.raises(ValueError, match="the output") as caught:
        fill_in(Path(template), VALUES)
    assert words in str(caught.value)
