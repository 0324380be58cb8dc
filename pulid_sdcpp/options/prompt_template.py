r"""Prompts with choices in them, each made by the picture's seed.

    {red|blue|green}        one of them, all as often
    {3::red|blue}           red three times as often as blue
    {2$$red|blue|green}     two different ones, "blue, red"; {1-2$$...}: one or two
    {2$$ and $$red|blue}    with " and " between them
    __animal__              a line of the file animal.txt, see `request/wildcards.py`
    \{ \} \| \__            the signs themselves

Choices may be in choices. What is not complete stays as it is: {red}, {red|blue, a__b.

The n-th choice of a prompt, from 0, takes the first 8 bytes of SHA-256("ROLE SEED n") as a number
from 0 to 1, big-endian; the options divide that range by their weights, in order. ROLE is "prompt"
or "negative_prompt". So a seed always makes the same choices, on every computer.

Source of the syntax: adieyal/sd-dynamic-prompts, docs/SYNTAX.md.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .prompt_weights import MAX_PROMPT_CHARS

__all__ = ["Option", "PromptTemplate", "parse_option", "parse_template"]

MAX_DEPTH = 30
"""Of choices in choices, and of wildcards in wildcards."""
MAX_CHOICES = 1000
"""In one prompt."""

_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})::")
_SEVERAL = re.compile(r"\s*(\d{1,3})(?:-(\d{1,3}))?\$\$(?:([^|{}$]*)\$\$)?")
# Not in the middle of a word, so that names with __ in them stay names.
_WILDCARD = re.compile(r"(?<!\w)__(?!_)((?:(?!__)[\w\-./])+)(?<!_)__(?!\w)")
_ESCAPE = re.compile(r"\\([{}|]|__)")
_COMMA = ", "


@dataclass(frozen=True)
class _Wildcard:
    """A line of a file."""

    name: str


@dataclass(frozen=True)
class _Choice:
    """Some of these, `low` to `high` of them."""

    options: tuple[Option, ...]
    low: int = 1
    high: int = 1
    separator: str = _COMMA


_Part = str | _Wildcard | _Choice


@dataclass(frozen=True)
class Option:
    """What may be chosen.

    Attributes:
        parts: Text, and choices in it.
        weight: How often, compared with the others; 0 or more.
    """

    parts: tuple[_Part, ...]
    weight: float = 1.0


Lookup = Callable[[str], Sequence[Option]]
"""The options that a wildcard stands for; raises ValueError where there is none of that name."""


@dataclass(frozen=True)
class PromptTemplate:
    """A prompt that was read.

    Attributes:
        text: As it was written.
        parts: What it is made of.
        is_open: Whether it has a choice that nothing closes, as in "{red|blue": it is text.
    """

    text: str
    parts: tuple[_Part, ...]
    is_open: bool = False

    @property
    def has_choices(self) -> bool:
        """Whether pictures of different seeds may have different prompts."""
        return any(not isinstance(part, str) for part in self.parts)

    def resolve(self, seed: int, role: str, lookup: Lookup) -> str:
        """The prompt of a picture.

        Args:
            seed: The picture's.
            role: "prompt" or "negative_prompt": their choices are independent.
            lookup: Finds wildcards.

        Raises:
            ValueError: A wildcard that is not there or contains itself, no option with a weight,
                more asked for than there are, or a prompt that becomes too long.
        """
        return _Resolution(seed, role, lookup).text(self.parts)


def parse_template(text: str) -> PromptTemplate:
    """Read a prompt; what is no complete choice is text.

    Raises:
        ValueError: Choices are nested too deeply.
    """
    parser = _Parser(text)
    return PromptTemplate(text, parser.parts(0, len(text), 0), parser.is_open)


def parse_option(text: str) -> Option:
    """One option: a weight, if it begins with one, and a prompt.

    Raises:
        ValueError: As `parse_template`.
    """
    return _Parser(text).option(0, len(text), 0)


class _Parser:
    """Reads parts of one text, each named by where it begins and ends."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends: dict[int, int] = {}
        """Where each { is closed; those that are not closed are no keys."""
        self._bars: dict[int, list[int]] = {}
        """The | directly in the { at a place."""
        opened: list[int] = []
        place = 0
        while place < len(text):
            if match := _ESCAPE.match(text, place):
                place = match.end()
                continue
            if text[place] == "{":
                opened.append(place)
                self._bars[place] = []
            elif text[place] == "}" and opened:
                self._ends[opened.pop()] = place
            elif text[place] == "|" and opened:
                self._bars[opened[-1]].append(place)
            place += 1
        self.is_open = any(self._bars[brace] for brace in opened)

    def parts(self, place: int, end: int, depth: int) -> tuple[_Part, ...]:
        if depth > MAX_DEPTH:
            raise ValueError(f"choices in choices, more than {MAX_DEPTH} deep")
        found: list[_Part] = []
        words: list[str] = []
        while place < end:
            part: _Part | None = None
            if match := _ESCAPE.match(self._text, place, end):
                # A bar means something only in braces, where depth is more than 0.
                words.append(match[1] if match[1] != "|" or depth else match[0])
                place = match.end()
                continue
            close = self._ends.get(place, end)
            if self._text[place] == "{" and close < end:
                part, after = self._choice(place, close, depth), close + 1
            elif match := _WILDCARD.match(self._text, place, end):
                part, after = _Wildcard(match[1]), match.end()
            if part is None:
                words.append(self._text[place])
                place += 1
                continue
            if words:
                found.append("".join(words))
                words = []
            found.append(part)
            place = after
        return (*found, "".join(words)) if words else tuple(found)

    def option(self, place: int, end: int, depth: int) -> Option:
        match = _WEIGHT.match(self._text, place, end)
        start = match.end() if match else place
        return Option(self.parts(start, end, depth), float(match[1]) if match else 1.0)

    def _choice(self, place: int, close: int, depth: int) -> _Choice | None:
        several = _SEVERAL.match(self._text, place + 1, close)
        start = several.end() if several else place + 1
        edges = [start - 1, *(bar for bar in self._bars[place] if bar >= start), close]
        # What is none is not read here: it is read as text, once.
        if len(edges) == 2 and not (several and _WILDCARD.fullmatch(self._text, start, close)):
            return None
        pairs = itertools.pairwise(edges)
        options = tuple(self.option(begin + 1, end, depth + 1) for begin, end in pairs)
        if several is None:
            return _Choice(options)
        low = int(several[1])
        high = int(several[2]) if several[2] else low
        if high < low:
            raise ValueError(f"{{{several[0].strip()}...}} asks for {low} to {high}")
        return _Choice(options, low, high, _COMMA if several[3] is None else several[3])


class _Resolution:
    """The choices of one prompt, made one after another."""

    def __init__(self, seed: int, role: str, lookup: Lookup) -> None:
        self._key = f"{role} {seed}"
        self._lookup = lookup
        self._count = 0
        self._names: list[str] = []  # the wildcards that we are in

    def text(self, parts: Sequence[_Part]) -> str:
        made = "".join(part if isinstance(part, str) else self._made(part) for part in parts)
        if len(made) > MAX_PROMPT_CHARS:
            raise ValueError(f"its choices make it longer than {MAX_PROMPT_CHARS} characters")
        return made

    def _made(self, part: _Wildcard | _Choice) -> str:
        if isinstance(part, _Wildcard):
            return self._inside(part.name, _Choice(tuple(self._lookup(part.name))))
        if len(part.options) > 1:
            return self._chosen(part)
        (wildcard,) = part.options[0].parts
        assert isinstance(wildcard, _Wildcard)  # the parser's only choice of one
        lines = tuple(self._lookup(wildcard.name))
        return self._inside(wildcard.name, replace(part, options=lines))

    def _inside(self, name: str, choice: _Choice) -> str:
        if name in self._names:
            circle = " > ".join([*self._names[self._names.index(name) :], name])
            raise ValueError(f"the wildcard {name} contains itself: {circle}")
        if len(self._names) >= MAX_DEPTH:
            raise ValueError(f"wildcards in wildcards, more than {MAX_DEPTH} deep")
        self._names.append(name)
        try:
            return self._chosen(choice)
        finally:
            self._names.pop()

    def _chosen(self, choice: _Choice) -> str:
        count = choice.low
        if choice.high > choice.low:
            count += self._draw([1.0] * (choice.high - choice.low + 1))
        left = [option for option in choice.options if option.weight > 0]
        if count > len(left):
            of = "options with a weight" if len(left) < len(choice.options) else "options"
            raise ValueError(f"it asks for {count} of {len(left)} {of}")
        made = []
        for _ in range(count):
            option = left.pop(self._draw([each.weight for each in left]))
            made.append(self.text(option.parts))
        return choice.separator.join(made)

    def _draw(self, weights: Sequence[float]) -> int:
        """The index of one of them, by the next number."""
        if self._count >= MAX_CHOICES:
            raise ValueError(f"it has more than {MAX_CHOICES} choices")
        digest = hashlib.sha256(f"{self._key} {self._count}".encode()).digest()
        self._count += 1
        place = int.from_bytes(digest[:8], "big") / 2**64 * sum(weights)
        for index, weight in enumerate(weights):
            place -= weight
            if place < 0:
                return index
        return len(weights) - 1
