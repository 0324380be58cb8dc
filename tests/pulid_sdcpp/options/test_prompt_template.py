"""Choices in prompts: what is one, how it is made, and what stays as it is."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.options.prompt_template import Option, parse_option, parse_template

FILES = {
    "animal": ["cat", "2::dog", "{big|small} __fish__"],
    "fish": ["trout", "pike"],
    "a/b": ["deep"],
    "round": ["__and__"],
    "and": ["round __round__"],
    "zero": ["0::never"],
}


def lookup(name: str) -> list[Option]:
    if name not in FILES:
        raise ValueError(f"there is no wildcard {name}")
    return [parse_option(line) for line in FILES[name]]


def resolve(text: str, seed: int = 1, role: str = "prompt") -> str:
    return parse_template(text).resolve(seed, role, lookup)


def found(text: str, count: int = 300) -> set[str]:
    return {resolve(text, seed) for seed in range(count)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a red hat",
        "{red}",
        "{red {x}} and {}",
        "{red|blue",
        "red|blue}",
        "a}|{b",
        "a}|{b|",
        "red | blue",
        "____",
        "__ a __",
        "__init",
        "my__file__name",
        "<lora:some__lora__v2:1>",
        "__two words__",
        "__a_ __",
        "{2$$red}",
        r"a \| b, (round\), \ ",
        "(red:1.2) [blue] {x:1.3}",
        "{" * 5000 + "}" * 5000,
    ],
)
def test_what_is_no_complete_choice_stays(text: str) -> None:
    template = parse_template(text)
    assert resolve(text) == text
    assert not template.has_choices
    assert template.is_open == (text in ("{red|blue", "a}|{b|"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{red|blue} hat", {"red hat", "blue hat"}),
        ("{very |}big", {"very big", "big"}),
        ("{|}", {""}),
        ("{{a|b}|{c|d}}", {"a", "b", "c", "d"}),
        ("{x {a|b}}", {"{x a}", "{x b}"}),
        ("{0::a|b}", {"b"}),
        ("{.5::a|0.5::b}", {"a", "b"}),
        ("{2$$a|b|c}", {"a, b", "b, a", "a, c", "c, a", "b, c", "c, b"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{0-1$$a|b}", {"", "a", "b"}),
        ("{2$$__fish__}", {"trout, pike", "pike, trout"}),
        ("__fish__", {"trout", "pike"}),
        ("__a/b__,", {"deep,"}),
        ("__animal__", {"cat", "dog", *(f"{s} {f}" for s in ("big", "small")
                                        for f in ("trout", "pike"))}),
        ("<lora:{a|b}:1>", {"<lora:a:1>", "<lora:b:1>"}),
        (r"\{a|b\}", {"{a|b}"}),
        (r"\__fish__", {"__fish__"}),
        (r"{a\|b|c}", {"a|b", "c"}),
        (r"{\{a\}|c}", {"{a}", "c"}),
    ],
)  # fmt: skip
def test_a_choice_is_made_among_all_of_its_options(text: str, expected: set[str]) -> None:
    assert found(text) == expected


def test_a_choice_is_the_seeds_on_every_computer() -> None:
    """By the module's own words: 8 bytes of SHA-256 of role, seed and number."""
    words = ["red", "green", "blue", "white", "black"]
    for seed in (0, 1, 42, 2**63 - 1):
        expected = []
        for number in range(3):
            digest = hashlib.sha256(f"prompt {seed} {number}".encode()).digest()
            expected.append(words[int.from_bytes(digest[:8], "big") * 5 >> 64])
        assert resolve(" ".join(["{" + "|".join(words) + "}"] * 3), seed) == " ".join(expected)


def test_the_negative_prompt_has_choices_of_its_own() -> None:
    roles = [[resolve("{a|b|c|d}", seed, role) for seed in range(20)]
             for role in ("prompt", "negative_prompt")]  # fmt: skip
    assert roles[0] != roles[1]


def test_weights_are_how_often() -> None:
    counts = Counter(resolve("{3::a|b|0::c}", seed) for seed in range(4000))
    assert counts["c"] == 0
    # 3/4 of 4000, and 5 standard deviations of sqrt(4000 * 3/4 * 1/4) = 27.4
    assert abs(counts["a"] - 3000) < 5 * 27.4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__nothing__", "there is no wildcard nothing"),
        ("__round__", "the wildcard round contains itself: round > and > round"),
        ("{3$$a|b}", "it asks for 3 of 2 options"),
        ("{2-1$$a|b}", "asks for 2 to 1"),
        ("{0::a|0::b}", "it asks for 1 of 0 options with a weight"),
        ("__zero__", "it asks for 1 of 0 options with a weight"),
        ("{a|b}" * 1001, "more than 1000 choices"),
        ("x" * 9999 + "{aa|bb}", "longer than 10000 characters"),
        ("{a|" * 40 + "b" + "}" * 40, "more than 30 deep"),
    ],
)
def test_what_cannot_be_made_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resolve(text)


@given(st.text(alphabet="{}|\\_$:a1- ", max_size=60), st.integers(0, 2**63 - 1))
def test_no_text_raises_anything_else(text: str, seed: int) -> None:
    said = ""
    made = ""
    try:
        made = resolve(text, seed)
    except ValueError as error:
        said = str(error)
    assert said or made == resolve(text, seed)
