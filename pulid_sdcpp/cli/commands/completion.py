"""`pulid-sdcpp completion`: the script that lets a shell complete commands, flags and names."""

from __future__ import annotations

import click

from ..flags.completions import COMPLETE_VARIABLE
from ..flags.shell_completion import SHELLS, completion_script
from ..flags.types import NamedChoice

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=NamedChoice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets your shell complete commands, flags and names.

    \b
    bash:        pulid-sdcpp completion bash >> ~/.bashrc
    zsh:         pulid-sdcpp completion zsh >> ~/.zshrc
    fish:        pulid-sdcpp completion fish > ~/.config/fish/completions/pulid-sdcpp.fish
    PowerShell:  pulid-sdcpp completion powershell >> $PROFILE

    Then open a new terminal. Names are those of presets, people and LoRAs, and of samplers and
    the like.
    """
    click.echo(completion_script(shell, ctx.find_root().command, COMPLETE_VARIABLE))
