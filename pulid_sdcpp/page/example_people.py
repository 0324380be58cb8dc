"""The drawn people that come with the pocket model, to try the page with."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["EXAMPLE_NAMES", "example_of", "example_portrait", "name_of_example"]

EXAMPLE_NAMES = ("alba", "edna", "mila", "omar", "rose", "rufus")
"""Their files in the pack."""

_PREFIX = "example:"


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
