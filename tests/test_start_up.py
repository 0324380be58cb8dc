"""What starting imports: a user waits for all of it, and most of it is for later.

Seconds are in benchmarks/RESULTS.md, by benchmarks/startup.py. Here is what they come from.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pulid_sdcpp.cli import main

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = click.Context(main, info_name="pulid-sdcpp", terminal_width=80, **main.context_settings)
COMMANDS = main.list_commands(CONTEXT)
# What the list of commands takes of the package: rooms.
ROOMS_OF_HELP = {"__main__", "cli", "errors", "terminal_text"}
MODULES_AFTER = """
import contextlib, io, json, sys
{statement}
print(json.dumps(sorted(set(sys.modules) - set(sys.stdlib_module_names))))
"""
RUN = """
from pulid_sdcpp.__main__ import start
sys.argv = ["pulid-sdcpp", *{arguments!r}]
with contextlib.redirect_stdout(io.StringIO()) as said:
    try:
        start()
    except SystemExit as left:
        assert not left.code, left.code
assert said.getvalue().startswith("Usage: pulid-sdcpp")
"""


def imported_by(statement: str) -> set[str]:
    """The modules in a new interpreter after `statement`, less those of a bare one."""

    def modules(statement: str) -> set[str]:
        code = MODULES_AFTER.format(statement=statement)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        )
        return set(json.loads(done.stdout))

    return modules(statement) - modules("")


def others(modules: set[str]) -> set[str]:
    """The packages that are neither ours nor Python's."""
    tops = {name.partition(".")[0] for name in modules}
    return tops - set(sys.stdlib_module_names) - {"pulid_sdcpp", "pulid_extractor"}


@pytest.mark.parametrize(
    ("package", "may_import"),
    [("pulid_sdcpp", set()), ("pulid_extractor", set()), ("pulid_sdcpp.cli", {"click"})],
)
def test_importing_a_package_imports_no_more_than_it_needs(
    package: str, may_import: set[str]
) -> None:
    assert others(imported_by(f"import {package}")) == may_import


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_the_list_of_commands_imports_none_of_them(arguments: list[str]) -> None:
    modules = imported_by(RUN.format(arguments=arguments))
    assert others(modules) == {"click"}
    ours = {name.split(".")[1] for name in modules if name.startswith("pulid_sdcpp.")}
    assert ours <= ROOMS_OF_HELP
    assert not any(name.startswith("pulid_sdcpp.cli.commands.") for name in modules)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_needs_click_alone(command: str) -> None:
    assert others(imported_by(RUN.format(arguments=[command, "--help"]))) == {"click"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_list_with_one_line(command: str) -> None:
    lines = main.get_help(CONTEXT).partition("Commands:\n")[2].splitlines()
    (line,) = [line for line in lines if line.split()[0] == command]
    assert line.endswith(".")
    assert len(lines) == len(COMMANDS)
    found = main.get_command(CONTEXT, command)
    assert found is not None
    assert found.name == command
    assert not found.hidden
