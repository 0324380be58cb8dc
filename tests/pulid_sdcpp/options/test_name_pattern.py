"""Patterns of tensor names: what a regular expression finds, and never for long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.options.name_pattern import NamePattern

ATOMS = ["a", "b", ".", ".*", "a+", "b?", "(a|b)", "(ab)*", "(?:a|)", "[a-c]", "[^a]", "[a.]*",
         r"\.", r"\d", r"\w+", "^", "$", "|", "a*?", r"\W", r"[\d_]", "[a-]", "é"]  # fmt: skip


@given(st.lists(st.sampled_from(ATOMS), max_size=8).map("".join), st.text("abc._1-é", max_size=9))
def test_what_a_regular_expression_finds(pattern: str, name: str) -> None:
    try:
        found = NamePattern(pattern).found_in(name)
    except ValueError:
        assert re.search(r"(^|[|(?])[*+?]|[\^$][*+?]|\*\?\?|\*\?[*+]|[*+?][*+?]", pattern)
        return
    assert found == bool(re.search(pattern.encode(), name.encode(), re.ASCII))


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        (r"^vae\.", "vae.decoder.conv_in.weight", True),
        (r"^vae\.", "model.vae.decoder", False),
        ("^single_blocks", "single_blocks.0.linear1.weight", True),
        ("attn", "double_blocks.1.img_attn.qkv.weight", True),
        ("^(img|txt)_in$", "txt_in", True),
        (r"blocks\.(0|1|[2-3])\.", "double_blocks.3.img_mod.lin.weight", True),
        (r"blocks\.(0|1|[2-3])\.", "double_blocks.13.img_mod.lin.weight", False),
        ("", "x", True),
        ("(.*)*(.*)*(.*)*(.*)*!", "a" * 1024, False),
        ("(a*)*(a*)*b", "a" * 1024, False),
        ("a*" * 500 + "b", "a" * 100, False),
    ],
)
def test_patterns_as_rules_have_them(pattern: str, name: str, found: bool) -> None:
    assert NamePattern(pattern).found_in(name) is found


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(a", "a ( that nothing closes"),
        ("a)", "a ) that closes nothing"),
        ("(?=a)", "(? without a colon"),
        ("*", "a repetition of nothing"),
        ("^*", "a repetition of nothing"),
        ("a**", "a repetition of a repetition"),
        ("a{2}", "a {"),
        ("[a", "a [ without ]"),
        ("[]", "with nothing in it"),
        ("[c-a]", "a range in [] that is none"),
        ("[[:digit:]]", "a [ in []"),
        (r"(a)\1", r"\1"),
        ("a\\", "a \\ at its end"),
        ("(" * 1000, "brackets nested more than 50 deep"),
    ],
)
def test_what_is_no_pattern(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        NamePattern(pattern)
