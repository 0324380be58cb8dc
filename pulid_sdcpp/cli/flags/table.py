"""Options that --help shows in groups, and paths in them."""

from __future__ import annotations

import contextlib
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
    "grouped_option",
]


class HomePath(click.Path):
    """A path in which `~` is the user's home: not every shell replaces it, nor in quotes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "":  # of a shell's variable that is not set; Path makes the folder . of it
            self.fail("it is empty, but must be a path", param, ctx)
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


def grouped_option(
    name: str, *flags: str, heading: str, help: str = "", **kwargs: Any
) -> Callable[[F], F]:
    """A click option of the command itself, called `name`, under a heading."""
    return click.option(*flags, name, cls=GroupedOption, heading=heading, help=help, **kwargs)
