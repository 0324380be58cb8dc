"""What a prompt says of a picture: the scene, in many words, never the person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import color_phrases, phrases
from .palette import BACKGROUNDS, SHIRTS
from .scenes import EXPRESSIONS, STYLES, Scene

__all__ = ["caption", "free_prompt", "random_choices"]

_BACKGROUNDS, _SHIRTS = list(BACKGROUNDS), list(SHIRTS)
_COLORS = {
    word for words in color_phrases.COLOR_WORDS.values() for text in words for word in text.split()
}
_COLORS.update(color_phrases.OTHER_COLORS)
_NOUNS = {"background", "wall", "shirt", "clothes"}
_PAUSES = (", ", ", ", ", ", ", ", "; ", ". ", " - ", ",", ", and ")
_COUNTS = (len(BACKGROUNDS), len(EXPRESSIONS), len(STYLES), len(SHIRTS))
Choices = tuple[int, int, int, int]
"""Of background, expression, style and shirt; the number of choices: not mentioned."""


def caption(scene: Scene, rng: np.random.Generator | None = None, *, drop: float = 0.0) -> str:
    """One caption of a scene.

    Args:
        rng: Chooses words and their order; without it the plainest words are taken in order.
        drop: Chance that each of background, expression, style and shirt goes unmentioned.
    """
    choices = (scene.background, scene.expression, scene.style, scene.shirt)
    if rng is not None:
        said = [
            count if rng.random() < drop else choice
            for choice, count in zip(choices, _COUNTS, strict=True)
        ]
        return free_prompt((said[0], said[1], said[2], said[3]), rng)
    parts = [
        "a portrait of a person",
        phrases.EXPRESSION_PHRASES[EXPRESSIONS[scene.expression]][0],
        f"{_BACKGROUNDS[scene.background]} background",
        f"wearing a {_SHIRTS[scene.shirt]} shirt",
        phrases.STYLE_SUFFIXES[STYLES[scene.style]][0],
    ]
    return ", ".join(parts)


def random_choices(rng: np.random.Generator, drop: float) -> Choices:
    """What a prompt says, each attribute unmentioned with the chance `drop`."""
    b, e, s, c = (n if rng.random() < drop else int(rng.integers(n)) for n in _COUNTS)
    return b, e, s, c


def free_prompt(choices: Choices, rng: np.random.Generator, unknown: Sequence[str] = ()) -> str:
    """A prompt that mentions just these, worded as people might.

    Args:
        unknown: Words without a meaning, to be mixed in.
    """
    return _Writer(rng, unknown).prompt(choices)


class _Writer:
    def __init__(self, rng: np.random.Generator, unknown: Sequence[str]) -> None:
        self._rng = rng
        self._unknown = unknown

    def prompt(self, choices: Choices) -> str:
        background, expression, style, shirt = choices
        parts = []
        if background < len(_BACKGROUNDS):
            parts.append(self._colored(color_phrases.BACKGROUND_PHRASES, _BACKGROUNDS[background]))
        elif self._chance(0.25):
            parts.append(
                self._vague(
                    color_phrases.BACKGROUND_PHRASES, color_phrases.UNCOLORED_BACKGROUNDS, ()
                )
            )
        if shirt < len(_SHIRTS):
            parts.append(self._colored(color_phrases.SHIRT_PHRASES, _SHIRTS[shirt]))
        elif self._chance(0.25):
            others = ("purple", "orange")
            parts.append(
                self._vague(color_phrases.SHIRT_PHRASES, color_phrases.UNCOLORED_SHIRTS, others)
            )
        feeling = EXPRESSIONS[expression] if expression < len(EXPRESSIONS) else ""
        adjective = ""
        if feeling and self._chance(0.4):
            adjective = self._pick(phrases.EXPRESSION_ADJECTIVES[feeling])
        elif feeling:
            parts.append(self._pick(phrases.EXPRESSION_PHRASES[feeling]))
        look = STYLES[style] if style < len(STYLES) else ""
        is_suffix = self._chance(0.5)
        if look and is_suffix:
            parts.append(self._pick(phrases.STYLE_SUFFIXES[look]))
        if self._chance(0.2):
            parts.append(
                self._with_color(self._pick(color_phrases.THINGS_OF_A_COLOR), self._any_color())
            )
        if self._chance(0.05) and self._unknown:
            parts.append(self._with_color("with {a}", self._any_color()) + f" {self._nonsense(1)}")
        while self._chance(0.2):
            parts.append(self._pick(phrases.FILLERS) if self._chance(0.5) else self._nonsense())
        self._rng.shuffle(parts)
        if adjective or (look and not is_suffix) or self._chance(0.85):
            parts.insert(0, self._subject(adjective, look, is_suffix))
            if len(parts) > 2 and self._chance(0.08):
                parts.append(parts.pop(0))
        return self._cased(self._joined([part for part in parts if part]))

    def _subject(self, adjective: str, look: str, is_suffix: bool) -> str:
        """Such as "a photo of a smiling young woman"."""
        names = [self._pick(phrases.SUBJECTS)]
        if self._chance(0.2):
            names.insert(0, self._pick(phrases.SUBJECT_ADJECTIVES))
        if self._chance(0.08):
            names.insert(0, self._nonsense(1))
        if adjective:
            names.insert(int(self._rng.integers(len(names))), adjective)
        name = " ".join(word for word in names if word)
        article = self._rng.choice(("a", "", "the"), p=(0.8, 0.1, 0.1))
        if names[-1] not in ("someone", "somebody"):
            name = _with_article(name) if article == "a" else f"{article} {name}".strip()
        if look and not is_suffix:
            picture = self._pick(phrases.STYLE_PICTURES[look])
        elif look in ("monochrome", "comic") and self._chance(0.25):
            # A photo only by name: what is said at the end counts.
            picture = "photo"
        elif self._chance(0.45):
            picture = self._pick(phrases.PICTURES)
        else:
            return name
        picture = _with_article(picture) if self._chance(0.6) else picture
        return f"{picture} {'showing' if self._chance(0.05) else 'of'} {name}"

    def _vague(self, colored: Sequence[str], plain: Sequence[str], others: Sequence[str]) -> str:
        """A thing without a colour, or in one that it cannot have."""
        if self._chance(0.5):
            return self._pick(plain)
        color = self._pick((*color_phrases.OTHER_COLORS, *others))
        return self._with_color(self._pick(colored), color)

    def _colored(self, forms: Sequence[str], color: str) -> str:
        return self._with_color(self._pick(forms), self._pick(color_phrases.COLOR_WORDS[color]))

    def _with_color(self, form: str, color: str) -> str:
        if self._chance(0.12):
            color = f"{self._pick(color_phrases.COLOR_ADVERBS)} {color}"
        if self._chance(0.08) and not form.endswith("}"):
            color = f"{color} {self._nonsense(1)}".strip()
        elif self._chance(0.05):
            color = f"{self._nonsense(1)} {color}".strip()
        return form.replace("{a}", _with_article(color)).replace("{}", color)

    def _any_color(self) -> str:
        name = self._pick((*color_phrases.COLOR_WORDS, *color_phrases.OTHER_COLORS))
        return self._pick(color_phrases.COLOR_WORDS.get(name, (name,)))

    def _nonsense(self, n: int = 0) -> str:
        if not self._unknown:
            return ""
        return " ".join(
            self._pick(self._unknown) for _ in range(n or int(self._rng.integers(1, 5)))
        )

    def _joined(self, parts: list[str]) -> str:
        """With commas, with nothing, or mixed; clear about which colour belongs to what."""
        pause_share = self._rng.choice((1.0, 0.0, 0.4))
        text = parts[0] if parts else ""
        for part in parts[1:]:
            first, last = part.split()[0].strip(":"), text.split()[-1]
            if first in _NOUNS or self._chance(pause_share):
                text += self._pick(_PAUSES)
            elif self._chance(0.15) and not (last in _COLORS and first in _COLORS):
                text += " and "
            else:
                text += " "
            text += part
        return text + ("." if self._chance(0.15) else "")

    def _cased(self, text: str) -> str:
        change = self._rng.random()
        if change < 0.6:
            return text
        return (
            text.capitalize() if change < 0.85 else text.title() if change < 0.93 else text.upper()
        )

    def _pick(self, words: Sequence[str]) -> str:
        return words[int(self._rng.integers(len(words)))]

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)


def _with_article(words: str) -> str:
    return f"{'an' if words[:1] in tuple('aeiou') else 'a'} {words}"
