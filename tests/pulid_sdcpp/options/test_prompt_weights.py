"""Prompts that are too long or weigh too much are refused, in time of their length."""

from __future__ import annotations

import pytest

from pulid_sdcpp.options.prompt_weights import MAX_PROMPT_BYTES, check_prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
        "nothing (at all:0), (less:-1), [[[far less]]], ((a:90)b:0.01",
        r"a clock \(19:45\), 16:9, at 7:30) BREAK B: \[ \\",
        "(" * 5000 + ")" * 5000,
        "[" * 4999 + "a" + "]" * 5000,
        "(" * 1900 + "a" + ":.9)" * 1900,
        "日" * (MAX_PROMPT_BYTES // 3),
    ],
)
def test_prompts_that_may_be(prompt: str) -> None:
    check_prompt("prompt", prompt)


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("a" * 10_001, "prompt has 10001 characters, but may have 10000"),
        ("😀" * 7_501, "prompt has 30004 bytes, but may have 30000"),
        ("a (house:101)", r"weight '101' in brackets.*from -100 to 100; write \\\( and \\\)"),
        ("a (house:.)", "weight '.' in brackets"),
        (f"a (house:{'9' * 5000})", "weight '9{100}…' .5000 characters. in brackets"),
        ("((a:50):50)", r"weight of about 10\^3"),
        ("(" * 4999 + "a" + ")" * 5000, r"weight of about 10\^207"),
        ("(" * 60 + "a", r"weight of about 10\^2"),
    ],
)
def test_prompts_that_are_refused(prompt: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_prompt("prompt", prompt)
