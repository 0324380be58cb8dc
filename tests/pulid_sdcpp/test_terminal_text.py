"""Text from outside steers no terminal."""

from __future__ import annotations

import errno
import os

import pytest

from pulid_sdcpp.cli import main
from pulid_sdcpp.terminal_text import (
    control_character,
    counted,
    escaped,
    escaped_line,
    listed,
    reason_of,
    shortened,
    shown,
)

STEERING = {
    "\x1b": r"\x1b",
    "\x07": r"\x07",
    "\r": r"\r",
    "\x7f": r"\x7f",
    "\x9b": r"\x9b",
    "\u061c": r"\u061c",
    "\u200b": r"\u200b",
    "\u202e": r"\u202e",
    "\u2028": r"\u2028",
    "\u2066": r"\u2066",
    "\ufeff": r"\ufeff",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize(("char", "shown"), STEERING.items())
def test_what_steers_is_written_out(char: str, shown: str) -> None:
    assert escaped(f"a{char}b") == escaped_line(f"a{char}b") == f"a{shown}b"
    assert control_character(f"ab{char}\x1b") == f"U+{ord(char):04X}"


@pytest.mark.parametrize(
    "text", ["", "plain", "日本", "Zoë é", "עברית", "क्‍ष", "👩‍👩‍👧", "a\u3000b\u00a0c", "a\nb\tc"]
)
def test_what_people_write_stays(text: str) -> None:
    assert escaped(text) == text


def test_a_name_is_one_line() -> None:
    assert escaped_line("a\nsaved b.png\tc") == r"a\nsaved b.png\tc"
    assert control_character("a\nb") == "U+000A"
    assert control_character("a b.png") == ""


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_bytes_that_are_no_text_are_left_to_the_stream() -> None:
    assert escaped_line(os.fsdecode(b"a\xff\x1b")) == "a\udcff" + r"\x1b"


def test_values_are_named_by_their_beginning() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown(None) == "None"
    assert shown("a" * 100) == repr("a" * 100)
    assert shown("a" * 100_000) == f"'{'a' * 100}…' (100000 characters)"
    assert shown(["a" * 1000]) == "['" + "a" * 198 + "…"


def test_messages_can_be_read() -> None:
    assert shortened("a" * 1500) == "a" * 1500
    assert shortened("a" * 1000 + "b" * 98_000 + "c" * 1000) == (
        "a" * 1000 + " … (98500 characters) … " + "c" * 500
    )


def test_no_error_of_a_command_is_of_pages(capsys: pytest.CaptureFixture[str]) -> None:
    value = "n" * 100_000
    for flags in (
        ("--width", value),
        ("--scheduler", value),
        ("--cache-option", value),
        ("--sigmas", value),
        ("--backend", value),
        ("--preset", value),
        ("--person", f"a.png:{value}=1"),
        ("--vae", value),
    ):
        with pytest.raises(SystemExit):
            main(["generate", "-p", "x", "-o", "x.png", *flags])
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert len(said) < 1800, flags


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), "Permission denied"),
        (OSError("truncated"), "truncated"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_a_reason_is_the_system_s_without_number_and_name(error: Exception, words: str) -> None:
    assert reason_of(error) == words


def test_one_of_something_is_no_plural() -> None:
    found = [counted(number, "picture") for number in (0, 1, 2, 1000)]
    assert found == ["0 pictures", "1 picture", "2 pictures", "1,000 pictures"]
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("values", "text"),
    [((0.0, 0.5, 1.0), "0, 0.5, 1"), ([1, "a"], "1, 'a'"), ("text", "'text'"), ((), "")],
)
def test_numbers_are_listed_as_one_types_them(values: object, text: str) -> None:
    assert listed(values) == text
