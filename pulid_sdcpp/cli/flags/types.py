"""Kinds of values that options of several commands take."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...options.step_point import StepPoint, parse_step_point
from ...pictures.formats import PICTURE_SUFFIXES
from ...terminal_text import hint, shown
from .table import HomePath

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Numbers", "Pair", "PicturePath", "QualityType", "StepPointType", "Vram"]


class PicturePath(HomePath):
    """A picture's path; of a folder, the picture of a certain name in it.

    A folder is what ends in a slash, or is there and has no picture's suffix.

    Args:
        name: Of the picture in a folder.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = super().convert(value, param, ctx)
        if isinstance(value, str) and value and value != "-":
            ends_as_folder = value.endswith(("/", os.sep)) or Path(value).name in ("", "..")
            if ends_as_folder or (path.is_dir() and path.suffix.lower() not in PICTURE_SUFFIXES):
                return Path(path) / self._name
        return path


class QualityType(click.ParamType):
    """`90`, or `lossless`."""

    name = "1-100|lossless"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | str:
        if isinstance(value, int) or value.strip().lower() == "lossless":
            return value if isinstance(value, int) else "lossless"
        if not re.fullmatch(r"\d{1,3}", value.strip(), re.ASCII) or not 1 <= int(value) <= 100:
            self.fail(f"{shown(value)} is not a quality from 1 to 100, nor lossless", param, ctx)
        return int(value)


class NamedChoice(click.Choice[str]):
    """One of some names, which errors list as they are written; and say which is meant."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"Choose from: {', '.join(self.choices)}"

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        names = ", ".join(map(repr, self.choices))
        return f"{shown(value)} is not one of {names}{hint(value, self.choices)}"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """As they are written, whether - or _ is typed."""
        from click.shell_completion import CompletionItem

        def plain(text: str) -> str:
            return text.casefold().replace("_", "-")

        typed = plain(incomplete)
        return [CompletionItem(one) for one in self.choices if plain(one).startswith(typed)]


class Pair(click.ParamType):
    """`32x48`, or `32` for both."""

    metavar = name = "XxY"

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        x, cross, y = value.partition("x")
        try:
            return self.number(x), self.number(y if cross else x)
        except ValueError:
            self.fail(f"{shown(value)} is not of the form 32x32 or 32", param, ctx)


class Numbers(click.ParamType):
    """`14.6,7.8,0`, with or without brackets."""

    name = "A,B,..."

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        parts = re.split(r"\s*,\s*", value.strip("[] "))
        try:
            return tuple(self.number(part) for part in parts if part)
        except ValueError:
            like = "whole numbers like 7,8,9" if self.number is int else "numbers like 14.6,7.8,0"
            self.fail(f"{shown(value)} is not a list of {like}", param, ctx)


class Vram(click.ParamType):
    """A number of GiB, or "auto"."""

    name = "GiB|auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | str:
        if isinstance(value, str) and value.strip().lower() == "auto":
            return "auto"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{shown(value)} is neither a number of GiB nor auto", param, ctx)


class StepPointType(click.ParamType):
    """`4` is a step, `0.2` and `20%` are parts of the steps."""

    name = "STEP|PART"

    def convert(self, value: Any, param: Any, ctx: Any) -> StepPoint:
        if isinstance(value, int | float):
            return value
        try:
            return parse_step_point(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
