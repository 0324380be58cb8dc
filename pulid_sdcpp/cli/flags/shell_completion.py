"""Completion in shells: click's own for bash, zsh and fish, and one for PowerShell."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
)

__all__ = ["SHELLS", "PowerShellComplete", "completion_script"]

SHELLS = ("bash", "zsh", "fish", "powershell")

_PROGRAM = "pulid-sdcpp"

# Where the program offers nothing, PowerShell completes file names. A name with a space is quoted.
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text })
    $env:COMP_WORDS = $words -join "`n"
    $env:COMP_CWORD = $wordToComplete
    $env:%(complete_var)s = "powershell_complete"
    try {
        & %(prog_name)s | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            $text = if ($value -match "\\s") { "'" + $value + "'" } else { $value }
            [System.Management.Automation.CompletionResult]::new(
                $text, $value, "ParameterValue", $help)
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:%(complete_var)s
    }
}
"""


class PowerShellComplete(ShellComplete):
    """For PowerShell 5.1 and later, on each system."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        words = [_unquoted(word) for word in os.environ["COMP_WORDS"].split("\n")]
        incomplete = _unquoted(os.environ.get("COMP_CWORD", ""))
        args = words[1:]
        if incomplete and args and args[-1] == incomplete:
            args.pop()
        return args, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """The value and, after a tab, what is shown beside it, which must not be empty."""
        if item.type != "plain":  # PowerShell completes file names itself
            return ""
        return f"{item.value}\t{' '.join((item.help or item.value).split())}"

    def complete(self) -> str:
        return "\n".join(line for line in super().complete().split("\n") if line)


def completion_script(shell: str, program: click.Command, variable: str) -> str:
    """The script for one of SHELLS.

    Args:
        variable: Of the environment, by which it asks the program.
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell
    # Not bash's own `source`, which runs bash to see its version.
    return ShellComplete.source(kind(program, {}, _PROGRAM, variable))


def _unquoted(word: str) -> str:
    is_quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
    return word[1:-1] if is_quoted else word


add_completion_class(PowerShellComplete)
