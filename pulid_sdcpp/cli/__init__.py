"""The command line: `pulid-sdcpp COMMAND`. One file per command, imported when it is called."""

from __future__ import annotations

import click

from .command_group import CommandGroup

__all__ = ["main"]

# Command: what the list of commands says of it, in 66 characters at most; the command itself is
# imported when it is called. A new command is one more line here.
_SUMMARIES = {
    "extract": "Make an identity file from photos of a person.",
    "people": "Keep people by name, to use wherever a photo goes.",
    "faces": "Number the faces in a photo, for --face.",
    "generate": "Make pictures, with a person if you name one.",
    "batch": "Make all the pictures of a job file.",
    "serve": "Make pictures for other programs and a page, over HTTP.",
    "ui": "Make pictures on a page in the browser.",
    "plan": "Show which preset suits this computer, and what fits in memory.",
    "evaluate": "Measure how well a model keeps faces and follows prompts.",
    "convert": "Quantize a Flux model, a text encoder or PuLID weights.",
    "models": "Download, find, check and remove the files of presets.",
    "inspect": "Show what a file is; for a picture, how it was made.",
    "doctor": "Show versions and devices, and what is missing.",
    "cache": "Show and remove what is kept on the disk to save time.",
    "completion": "Print the script that lets your shell complete commands.",
    "demo": "Show what the package can do, with the small model it comes with.",
}


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from ..system.package_version import package_version

        click.echo(f"pulid-sdcpp {package_version()}")
        ctx.exit()


@click.group(
    cls=CommandGroup,
    commands_in="pulid_sdcpp.cli.commands",
    summaries=_SUMMARIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """Put a person's face into pictures made by a quantized Flux.

    \b
    pulid-sdcpp generate --preset flux-schnell-q4 --pull --portrait me.jpg -p "a portrait in oil"
    """
    context.obj.debug = debug
