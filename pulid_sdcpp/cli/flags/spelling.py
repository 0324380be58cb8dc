"""How a command writes the option that a message names as Python does."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["flag_of"]


def flag_of(name: str, params: Sequence[click.Parameter], typed: Sequence[str] = ()) -> str:
    """The flag of an option; its name where it has none.

    Args:
        name: Of the option's field.
        params: Those of the command; the parameter of a field has its name, or that of several.
        typed: The command line: of several flags, the one that is in it.
    """
    for param in params:
        if isinstance(param, click.Option) and param.name in (name, f"{name}s"):
            given = {argument.partition("=")[0].replace("_", "-") for argument in typed}
            flags = [*param.opts, *param.secondary_opts]
            return next((flag for flag in flags if flag in given), param.opts[-1])
    return name
