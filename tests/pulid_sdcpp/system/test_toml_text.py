from __future__ import annotations

import contextlib

import pytest

from pulid_sdcpp.system.toml_text import MAX_KEY_PARTS, parse_toml


def problem(text: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_toml(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "line", [r'portraits = "C:\Users\me\rose.png"', r'a = ["x", "D:\models"]', r'a = "..\photos"']
)
def test_a_windows_path_in_double_quotes_gets_a_hint(line: str) -> None:
    said = problem(f"steps = 1\n{line}\nseed = 2")
    assert "line 2" in said
    assert r"in single quotes, such as 'C:\photos\alice.jpg'" in said


@pytest.mark.parametrize("line", ["a = ", 'a = "b', r"a = 'C:\Users' 5"])
def test_what_is_wrong_otherwise_gets_none(line: str) -> None:
    assert "single quotes" not in problem(line)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{b = " * 5000])
def test_what_is_too_deep_is_said_in_words(text: str) -> None:
    assert problem(text) == "too deeply nested"


LONG = 100_000
"""The parser alone takes minutes for a key of so many parts."""


@pytest.mark.parametrize(
    "line",
    [
        "a." * LONG + "a = 1",
        "[" + "a." * LONG + "a]",
        "[[" + "a . " * LONG + "a]]",
        "a\t.\t" * LONG + "a = 1",
        "'a'." * LONG + "a = 1",
        r'"a\"b".' * LONG + "a = 1",
        '"#".' * LONG + "a = 1",
        "a = {" + "b-1." * LONG + "c = 2}",
        "a." * MAX_KEY_PARTS + "a = 1",
    ],
    ids=lambda line: line[:9],
)
@pytest.mark.parametrize(
    "before", ["", "b = 'its'\n", "b = '''\n''a'''\n", 'b = """\n\\""""\n', "# \"'\n"]
)
def test_keys_of_many_parts_are_refused_before_they_are_parsed(line: str, before: str) -> None:
    number = 1 + before.count("\n")
    assert problem(before + line) == f"a key of more than 32 parts (at line {number})"


@pytest.mark.parametrize(
    "text",
    [
        "prompt = '" + "well." * LONG + "'",
        'prompt = "' + r"well.\"" * LONG + '"',
        'prompt = """' + "a.b.\n" * LONG + '"""',
        "prompt = '''" + "a.b.\n" * LONG + "'''",
        "# " + "a." * LONG,
        "a = [" + "1.5, " * 1000 + "]",
        "a." * (MAX_KEY_PARTS - 1) + "b = 1",
        "\n".join(f"a.b{number} = 1.5" for number in range(1000)),
    ],
    ids=lambda text: text[:14],
)
def test_dots_elsewhere_are_no_matter(text: str) -> None:
    parse_toml(text)


@pytest.mark.parametrize(
    "part", ['"', "'", '"""', "'''", "\\", '\\"""\n', "a", ".", "a.", "a .", "#", " ", "a\n", '""']
)
def test_what_is_looked_for_is_found_in_one_pass(part: str) -> None:
    for begin in ('a = """', "a = "):
        with contextlib.suppress(ValueError):
            parse_toml(begin + part * 100_000)
