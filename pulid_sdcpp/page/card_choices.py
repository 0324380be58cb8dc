"""Whom a card of Create can be of: a photo, a kept person, or one of the drawn examples."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from . import texts

__all__ = ["EXAMPLE_NAMES", "card_choices", "example_of", "example_portrait", "name_of_example"]

EXAMPLE_NAMES = ("alba", "edna", "mila", "omar", "rose", "rufus")
"""Drawn people that come with the pocket model, to try the page with; their files in the pack."""

_PREFIX = "example:"


def card_choices(service: Any, owner: str) -> list[tuple[str, str]]:
    """What a card offers, as pairs of words and a value; "" is a photo. Reads a disk.

    Args:
        service: Whose people these are.
        owner: Of whom.
    """
    kept = service.people.people(owner)
    names = EXAMPLE_NAMES if "pocket" in service.models.settings() else ()
    return [
        (texts.FROM_PHOTO, ""),
        *((one.name or one.id, one.id) for one in kept),
        *((texts.EXAMPLE_PERSON.format(name=name.title()), example_of(name)) for name in names),
    ]


def example_of(name: str) -> str:
    """What a card's choice has as the value of an example."""
    return f"{_PREFIX}{name}"


def name_of_example(value: str) -> str:
    """What the person of such a value is called."""
    return value.removeprefix(_PREFIX).title()


def example_portrait(value: str) -> bytes | None:
    """The portrait of such a value; None: it is none of an example."""
    name = value.removeprefix(_PREFIX)
    if name == value or name not in EXAMPLE_NAMES:
        return None
    folder = files("pulid_sdcpp.pocket")
    return folder.joinpath("model").joinpath("portraits").joinpath(f"{name}.png").read_bytes()
