"""Write docs/cli.md from the commands themselves; a test compares the two.

python docs/generate_cli_reference.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pulid_sdcpp.cli import main

sys.path.insert(0, str(Path(__file__).parent))
from sd_cli_flags import table

__all__ = ["OUTPUT", "render"]

OUTPUT = Path(__file__).with_name("cli.md")
PROGRAM = "pulid-sdcpp"
INTRODUCTION = """\
# Commands

Written by `docs/generate_cli_reference.py`; change the commands, not this page.

Exit status: 0 for success; 1 for a problem with a file, a device, the disk or the engine; 2 for a
mistake in the command; 130 after Ctrl-C. An error is one line on stderr.

| environment variable | |
| --- | --- |
| `_PULID_SDCPP_COMPLETE` | set by the scripts of `pulid-sdcpp completion` |
| `PULID_SDCPP_CACHE` | cache folder ([what is in it](uninstall.md)) |
| `PULID_SDCPP_CONFIG` | folder of `config.toml`: your models folders, files and presets |
| `PULID_SDCPP_CPU_KERNELS` | x86: `avx512vnni`, `avxvnni`, `avx2`, or `none` of our kernels |
| `PULID_SDCPP_DATA` | data folder: people kept by name |
| `PULID_SDCPP_FOLD_CACHE_MB` | limit for folded identities on disk, in MiB (2048); 0 keeps none |
| `PULID_SDCPP_LIBRARY` | compiled engine to load in place of the installed one |
| `PULID_SDCPP_ENGINE_SDIST` | during installation: the engine's sdist, if already downloaded |
"""


def render() -> str:
    """The page, as Markdown."""
    context = click.Context(main, info_name=PROGRAM, **main.context_settings)
    generate = main.get_command(context, "generate")
    assert generate is not None
    return "\n".join([INTRODUCTION, *_sections(main, context), table(generate)])


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """The command's section, and those of the commands below it."""
    yield _section(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _sections(below, click.Context(below, info_name=name, parent=context))


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## {context.command_path}", "", f"    {usage}", "", _prose(command.help or "")]
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            groups.setdefault(getattr(parameter, "heading", ""), []).append(record)
    for heading, records in groups.items():
        lines += ["", f"| {heading or 'option'} | |", "| --- | --- |"]
        lines += [f"| `{_cell(flags)}` | {_cell(_spelled(text))} |" for flags, text in records]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """Paragraphs of a docstring; one marked with \\b keeps its lines."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        if "\b" in paragraph:
            kept = paragraph.replace("\b", "").strip().splitlines()
            paragraphs.append("\n".join(f"    {line.strip()}" for line in kept))
        else:
            paragraphs.append(_spelled(" ".join(paragraph.split())))
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _spelled(text: str) -> str:
    """Angle brackets as they are meant, and not as HTML."""
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    OUTPUT.write_text(render(), encoding="utf-8")
    print(f"wrote {OUTPUT}")
