"""The people of a picture in its text: one without a number, several with 1, 2, ... behind."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..identity.hashes import text_numbers
from ..identity.identity_file import Identity
from ..people.identity_options import check_people
from ..people.person import Person
from .png_text import PictureText
from .text_entries import (
    Entry,
    FileUsed,
    damaged,
    describe_file_used,
    entries_of,
    read_entries,
    read_list,
    write_entries,
    write_list,
)

__all__ = [
    "PERSON_ENTRIES",
    "DescribedPerson",
    "describe_people",
    "people_from",
]

PERSON_ENTRIES = entries_of(Person)
_IDENTITY, _NUMBERS, _BOX, _MASK = "PuLID identity", "PuLID numbers", "PuLID box", "PuLID mask"


@dataclass(frozen=True)
class DescribedPerson:
    """What a picture's text says of one person.

    Attributes:
        identity_hash: `Identity.short_hash`.
        numbers: `hashes.text_numbers`; "" when the text has none.
        span: Of weight, start_step and end_step, those that are named.
        box: Of the region; None when it is not a box.
        mask: Name and hash of the region's mask; None when it is not a mask.
    """

    identity_hash: str
    numbers: str
    span: dict[str, Any]
    box: tuple[float, ...] | None = None
    mask: tuple[str, str] | None = None


def describe_people(
    people: Sequence[Person],
    identity_hash: str,
    with_uncond: bool,
    masks: Sequence[str | os.PathLike[str] | FileUsed | None] = (),
) -> dict[str, str]:
    """Keys and values for the people of a picture.

    Args:
        people: At least one.
        identity_hash: Of an identity that is given as a file.
        with_uncond: Whether the unconditional identity took part.
        masks: Each one's mask file, when `people` have what was read of it.
    """
    values = {}
    for number, person in enumerate(people, start=1):
        suffix = f" {number}" if len(people) > 1 else ""
        identity = person.identity
        if isinstance(identity, Identity):
            values[_IDENTITY + suffix] = identity.short_hash
            uncond_tokens = identity.uncond_tokens if with_uncond else None
            values[_NUMBERS + suffix] = text_numbers(identity.tokens, uncond_tokens)
        else:
            values[_IDENTITY + suffix] = identity_hash
        values.update(write_entries(PERSON_ENTRIES, person, suffix))
        region = person.region
        file: str | os.PathLike[str] | FileUsed | None
        if region is not None and region.box is not None:
            values[_BOX + suffix] = write_list(region.box)
        elif region is not None:
            file = region.mask if isinstance(region.mask, str | os.PathLike) else None
            if masks:
                file = masks[number - 1]
            values.update(describe_file_used(_MASK + suffix, file))
    return values


def people_from(text: PictureText) -> tuple[DescribedPerson, ...]:
    """The people that a picture's text names.

    Raises:
        ValueError: A value that is not what its key promises.
    """
    numbered = itertools.takewhile(
        lambda suffix: _IDENTITY + suffix in text.values, (f" {n}" for n in itertools.count(1))
    )
    suffixes = [""] if _IDENTITY in text.values else list(numbered)
    check_people(len(suffixes))
    return tuple(_person_from(text.values, suffix) for suffix in suffixes)


def _person_from(values: Any, suffix: str) -> DescribedPerson:
    box = mask = None
    if (key := _BOX + suffix) in values:
        box = read_entries((Entry(_BOX, "box", read=read_list),), values, suffix)["box"]
        if len(box) != 4:
            raise damaged(key, values[key])
    if (key := _MASK + suffix) in values:
        mask = values[key], values.get(f"{_MASK}{suffix} hash", "")
    return DescribedPerson(
        values[_IDENTITY + suffix],
        values.get(_NUMBERS + suffix, ""),
        read_entries(PERSON_ENTRIES, values, suffix),
        box,
        mask,
    )
