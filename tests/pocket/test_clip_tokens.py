"""Prompts become the tokens that CLIP knows."""

from __future__ import annotations

import pytest

from definition.picture import WORDS
from pocket.clip_tokens import ClipTokens, engine_merges

FIRST_MERGE = 512
"""After 256 bytes, and 256 that end a word."""
MERGES = (("r", "e"), ("b", "re"), ("re", "d</w>"))
RED = FIRST_MERGE + 2


def letter(character: str, *, ends: bool = False) -> int:
    return ord(character) - ord("!") + 256 * ends


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", []),
        ("red", [RED]),
        ("Red\n RED", [RED, RED]),
        # An earlier merge goes first: not b + red.
        ("bred", [FIRST_MERGE + 1, letter("d", ends=True)]),
        ("reda", [FIRST_MERGE, letter("d"), letter("a", ends=True)]),
        ("red,red", [RED, letter(",", ends=True), RED]),
        ("12", [letter("1", ends=True), letter("2", ends=True)]),
        ("a's", [letter("a", ends=True), letter("'"), letter("s", ends=True)]),
        # Two bytes of UTF-8, which are not letters to the engine.
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", [127, 358]),
    ],
)
def test_tokens(prompt: str, expected: list[int]) -> None:
    assert ClipTokens(MERGES).encode(prompt) == expected


def test_single_words_are_known() -> None:
    assert ClipTokens((*MERGES, ("f", "red</w>"))).plain_words == ["red", "fred"]


def test_the_engine_s_vocabulary_is_clip_s() -> None:
    try:
        merges = engine_merges()
    except FileNotFoundError:
        pytest.skip("the engine's source is not unpacked here")
    tokens = ClipTokens(merges)
    assert {word: tokens.encode(word) for word in WORDS} == {w: [n] for w, n in WORDS.items()}
    assert tokens.encode("A photo of a cat") == [320, 1125, 539, 320, 2368]
