"""Prompts say what they are to say, and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pocket.natural_prompts import NATURAL_PROMPTS
from pocket.portraits import Scene, caption
from pocket.portraits.captions import free_prompt, random_choices
from pocket.portraits.color_phrases import COLOR_WORDS
from pocket.portraits.palette import BACKGROUNDS, SHIRTS
from pocket.prompt_code import ATTRIBUTES

NOTHING = tuple(len(choices) for choices in ATTRIBUTES.values())
MEANING = {
    "neutral": r"serious|calm|neutral|expressionless|stern|relaxed|straight|not smiling"
    r"|out a smile|no smile|no emotion|mouth closed|closed mouth",
    "smiling": r"smil|happ|laugh|cheer|grin|joy",
    "surprised": r"surpris|shock|aston|amaz|startl|open",
    "photo": r"photo",
    "monochrome": r"black and white|black-and-white|monochrome|gr[ae]yscale|b&w",
    "comic": r"comic|cartoon|drawing|illustration",
}


def prompts(choices: tuple[int, int, int, int], n: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    return [free_prompt(choices, rng).lower() for _ in range(n)]


@pytest.mark.parametrize("column", [1, 2])
def test_words_for_expression_and_style(column: int) -> None:
    for index, name in enumerate(list(ATTRIBUTES.values())[column]):
        choices = [*NOTHING]
        choices[column] = index
        for prompt in prompts(tuple(choices)):  # type: ignore[arg-type]
            assert re.search(MEANING[name], prompt), f"{name}: {prompt}"


@pytest.mark.parametrize(("column", "colors"), [(0, BACKGROUNDS), (3, SHIRTS)])
def test_words_for_colors(column: int, colors: dict[str, object]) -> None:
    for index, name in enumerate(colors):
        choices = [*NOTHING]
        choices[column] = index
        for prompt in prompts(tuple(choices)):  # type: ignore[arg-type]
            assert any(word in prompt for word in COLOR_WORDS[name]), f"{name}: {prompt}"


def test_what_is_not_mentioned_has_no_words() -> None:
    for prompt in prompts(NOTHING, 300):
        for name, words in MEANING.items():
            assert not re.search(words, prompt), f"{name}: {prompt}"


def test_prompts_vary_and_repeat_with_the_generator() -> None:
    assert prompts((1, 1, 1, 1)) == prompts((1, 1, 1, 1))
    assert len(set(prompts((1, 1, 1, 1)))) > 55


def test_unknown_words_are_mixed_in() -> None:
    rng = np.random.default_rng(0)
    texts = [free_prompt(random_choices(rng, 0.2), rng, ("zorglub",)) for _ in range(100)]
    assert 10 < sum("zorglub" in text.lower() for text in texts) < 90


def test_a_caption_without_chance_is_plain() -> None:
    scene = Scene(background=1, expression=2, style=1, shirt=5)
    assert caption(scene) == (
        "a portrait of a person, surprised, blue background, wearing a black shirt, monochrome"
    )


def test_a_caption_that_drops_all_mentions_nothing() -> None:
    rng = np.random.default_rng(3)
    scene = Scene(background=0, expression=1, style=2, shirt=1)
    said = [caption(scene, rng, drop=1.0).lower() for _ in range(50)]
    assert not any("smil" in text or "comic" in text for text in said)
    kept = [caption(scene, rng).lower() for _ in range(50)]
    assert all(re.search(MEANING["smiling"], text) for text in kept)


def test_natural_prompts_use_every_choice() -> None:
    for column, count in enumerate(NOTHING):
        assert {choices[column] for _, choices in NATURAL_PROMPTS} == set(range(count + 1))
