"""The command line: `pulid-sdcpp COMMAND`. One file per command, imported when it is called."""

from __future__ import annotations

import click

from .command_group import CommandGroup

__all__ = ["main"]

# Command: where it is. A later command is one more line here.
_COMMANDS = {
    "extract": "pulid_sdcpp.cli.commands.extract:extract",
    "faces": "pulid_sdcpp.cli.commands.faces:faces",
    "generate": "pulid_sdcpp.cli.commands.generate:generate",
    "batch": "pulid_sdcpp.cli.commands.batch:batch",
    "plan": "pulid_sdcpp.cli.commands.plan:plan",
    "evaluate": "pulid_sdcpp.cli.commands.evaluate:evaluate",
    "convert": "pulid_sdcpp.cli.commands.convert:convert",
    "models": "pulid_sdcpp.cli.commands.models:models",
    "inspect": "pulid_sdcpp.cli.commands.inspect:inspect",
    "doctor": "pulid_sdcpp.cli.commands.doctor:doctor",
    "demo": "pulid_sdcpp.cli.commands.demo:demo",
}


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from ..system.package_version import package_version

        click.echo(f"pulid-sdcpp {package_version()}")
        ctx.exit()


@click.group(
    cls=CommandGroup,
    commands_at=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and leave.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """Put a person's face into pictures made by a quantized Flux.

    \b
    pulid-sdcpp generate --preset flux-schnell-q4 --pull --portrait me.jpg -p "a portrait in oil"
    """
    context.obj.debug = debug
