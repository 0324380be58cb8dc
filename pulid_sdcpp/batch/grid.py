"""Grids: the same picture with other values, one, two or three kinds of them.

    columns = parse_axis("id-weight=0.6,0.8,1.0")
    rows = parse_axis("seed=1-3")

The first axis makes the columns of a sheet, the second its rows, a third sheets of their own.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..options.facts import Fact, of
from ..options.generation import GenerationOptions
from ..people.identity_options import IdentityOptions
from ..people.person_spec import PersonSpec
from ..pictures.names import slug
from ..terminal_text import meant, shown
from .fields import field_values

__all__ = ["REPLACE", "GridAxis", "GridCell", "check_axes", "grid_cells", "parse_axis"]

MAX_AXES = 3
MAX_PICTURES = 1000
REPLACE = "replace"
"""An axis of words in the prompt: the first is what is replaced by the others."""
_PEOPLE = ("person", "portrait")
_OWN = (*_PEOPLE, REPLACE)
_FACTS: dict[str, Fact] = {
    name: fact
    for kind in (GenerationOptions, PersonSpec, IdentityOptions)
    for name, fact in of(kind).items()
    if fact.batch or name in ("prompt", "seed")
}
_RANGE = re.compile(r"\s*(\d{1,18})\s*-\s*(\d{1,18})\s*", re.ASCII)


@dataclass(frozen=True)
class GridAxis:
    """One kind of values.

    Attributes:
        label: The kind as it was named: "id-weight".
        field: The option's name: "weight"; or one of "person", "portrait", "replace".
        texts: The values as they were written.
        values: As the option takes them; of people and words to be replaced, the texts.
    """

    label: str
    field: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """What stands at the edge of a sheet; a prompt needs no name."""
        is_words = self.field in ("prompt", *_OWN)
        return tuple(text if is_words else f"{self.label} {text}" for text in self.texts)

    @property
    def name_parts(self) -> tuple[str, ...]:
        """What a file's name says of each value; all differ."""
        parts = [slug(text) for text in self.texts]
        if len(set(parts)) < len(parts):
            parts = [f"{slug(text)}-{_digits(text)}" for text in self.texts]
        return tuple(f"{slug(self.label)}-{part}" for part in parts)


@dataclass(frozen=True)
class GridCell:
    """One picture of a grid.

    Attributes:
        place: The number of its value on each axis, from 0.
        values: By field.
        name: Of its file, without a suffix.
        where: For messages: "the grid's id-weight 0.6, seed 1".
    """

    place: tuple[int, ...]
    values: Mapping[str, Any]
    name: str
    where: str


def parse_axis(text: str) -> GridAxis:
    """Read an axis, such as "seed=1,2,3", "seed=1-3" or 'prompt="red, or blue",green'.

    Args:
        text: A flag's name without dashes, or an option's name; values with commas between them,
            as in CSV. Whole numbers may be a range.

    Raises:
        ValueError: There is no such option, a value that it cannot have, or one twice.
    """
    label, equals, given = text.partition("=")
    label = label.strip().lstrip("-")
    if not equals or not label:
        raise ValueError(f"{shown(text)} is no axis; write it as in id-weight=0.6,0.8,1.0")
    field = _field(label)
    try:
        texts = next(csv.reader([given], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ValueError(f"{shown(text)}: {error}; put values with commas in quotes") from None
    texts = [one.strip() for one in texts]
    fact = _FACTS.get(field)
    if fact is not None and fact.kind == "whole":
        texts = [number for one in texts for number in _numbers(one)]
    may_be_empty = field in ("negative_prompt", REPLACE) and texts[:1] != [""]
    if not texts or ("" in texts and not may_be_empty):
        raise ValueError(f"{shown(text)} has an empty value; leave it out")
    values: list[Any] = list(texts)
    if fact is not None:
        values = [field_values({field: one}, Path())[field] for one in texts]
    for one, value in zip(texts, values, strict=True):
        if values.count(value) > 1:
            raise ValueError(f"{label} has {shown(one)} twice; leave one out")
    return GridAxis(label, field, tuple(texts), tuple(values))


def check_axes(axes: Sequence[GridAxis]) -> None:
    """Refuse axes that do not go together.

    Raises:
        ValueError: Too many of them, one twice, or too many pictures.
    """
    if len(axes) > MAX_AXES:
        raise ValueError(f"a grid has {MAX_AXES} axes at most, not {len(axes)}")
    for one, other in itertools.combinations(axes, 2):
        if one.field == other.field or {one.field, other.field} == set(_PEOPLE):
            raise ValueError(f"{one.label} and {other.label} are two axes of one thing")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MAX_PICTURES:
        raise ValueError(f"a grid of {count} pictures; at most {MAX_PICTURES} are possible")


def grid_cells(axes: Sequence[GridAxis]) -> Iterator[GridCell]:
    """The pictures, row by row of each sheet."""
    from_outside = [range(len(axis.values)) for axis in reversed(axes)]
    for numbers in itertools.product(*from_outside):
        place = numbers[::-1]
        pairs = list(zip(axes, place, strict=True))
        said = ", ".join(f"{axis.label} {axis.texts[number]}" for axis, number in pairs)
        yield GridCell(
            place,
            {axis.field: axis.values[number] for axis, number in pairs},
            "_".join(axis.name_parts[number] for axis, number in pairs),
            f"the grid's {said}",
        )


def _field(label: str) -> str:
    name = label.replace("-", "_")
    if name in _FACTS or name in _OWN:
        return name
    flags = {
        flag.lstrip("-").replace("-", "_"): fact.name
        for fact in _FACTS.values()
        for flag in fact.flags.split()
        if flag.startswith("--") and fact.kind != "switch"
    }
    if name in flags:
        return flags[name]
    known = sorted(one.replace("_", "-") for one in {*flags, *_FACTS, *_OWN})
    raise ValueError(f"{shown(label)} is nothing that a grid can vary; {meant(label, known)}")


def _numbers(text: str) -> list[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return [text]
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < MAX_PICTURES:
        raise ValueError(f"{shown(text)} is no range of up to {MAX_PICTURES} numbers")
    return [str(number) for number in range(first, last + 1)]


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6]
