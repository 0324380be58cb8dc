"""Options whose default comes from an options dataclass, shown in groups by --help."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ...system.user_folders import with_home

__all__ = [
    "FILE_PATH",
    "GroupedCommand",
    "GroupedOption",
    "HomePath",
    "dataclass_option",
    "grouped_option",
]


class HomePath(click.Path):
    """A path in which `~` is the user's home: not every shell replaces it, nor in quotes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, str):
            with contextlib.suppress(ValueError):  # a name that begins with ~
                value = with_home(value)
        return super().convert(value, param, ctx)


FILE_PATH = HomePath()  # what is wrong with a file, its reader says better

F = TypeVar("F", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option that names the heading it stands under in the help."""

    def __init__(self, *args: Any, heading: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command with many options: grouped in the help; - and _ in them are the same."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings["token_normalize_func"] = lambda token: token.replace("_", "-")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "heading", "Other"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def dataclass_option(
    options: type, field: str, *flags: str, heading: str, help: str, **kwargs: Any
) -> Callable[[F], F]:
    """A click option for `field` of the dataclass `options`, with that field's default.

    The parameter of the command is named after the field. A True default makes a flag
    that switches off; "--on/--off" makes both.
    """
    default = next(f.default for f in dataclasses.fields(options) if f.name == field)
    if default is dataclasses.MISSING:
        kwargs.setdefault("required", True)
    elif isinstance(default, bool) and "/" in flags[0]:
        kwargs |= {"default": default, "show_default": True}
    elif isinstance(default, bool):
        kwargs |= {"is_flag": True, "default": default, "flag_value": not default}
    elif not kwargs.get("multiple"):
        kwargs["default"] = default
        kwargs.setdefault("show_default", default not in (None, "", ()))
    if isinstance(default, int | float) and not isinstance(default, bool):
        kwargs.setdefault("type", type(default))
    return click.option(*flags, field, cls=GroupedOption, heading=heading, help=help, **kwargs)


def grouped_option(name: str, *flags: str, heading: str, help: str = "", **kwargs: Any) -> Any:
    """A click option of the command itself, called `name`, under a heading."""
    return click.option(*flags, name, cls=GroupedOption, heading=heading, help=help, **kwargs)
