"""Which flags of stable-diffusion.cpp's `sd-cli` are here, and why others are not, for docs/cli.md.

`FLAGS` (sd_cli_flags.txt) are those of the pinned version's examples/cli/README.md; a test compares
them with it, and the table with the command.
"""

from __future__ import annotations

from pathlib import Path

import click

from pulid_sdcpp.cli.flags.not_offered import NOT_OFFERED

__all__ = ["FLAGS", "absent_flags", "table"]

FLAGS = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split()


def absent_flags(command: click.Command) -> list[str]:
    """Flags of sd-cli that a command does not have, - or _ alike, in their order."""
    have = {name.replace("_", "-") for option in command.params for name in option.opts}
    have |= {name.replace("_", "-") for option in command.params for name in option.secondary_opts}
    have |= {"-h", "--help"}
    return [flag for flag in FLAGS if flag.replace("_", "-") not in have]


def table(command: click.Command) -> str:
    """The section of docs/cli.md.

    Raises:
        ValueError: A flag that is missing here has no reason, or one that has is not missing.
    """
    absent = absent_flags(command)
    if wrong := set(NOT_OFFERED) ^ set(absent):
        raise ValueError(f"cli/flags/not_offered.py is not right about {sorted(wrong)}")
    by_reason: dict[str, list[str]] = {}
    for flag, reason in NOT_OFFERED.items():
        by_reason.setdefault(reason, []).append(f"`{flag}`")
    taken = [f"`{flag}`" for flag in FLAGS if flag not in absent]
    return "\n".join(
        [
            "## Flags of sd-cli",
            "",
            f"stable-diffusion.cpp's `sd-cli` has {len(FLAGS)} names of flags. {len(taken)} are"
            " here and mean the same, except that `--cfg-scale` is 1 by default:",
            "",
            " ".join(taken),
            "",
            "The others are an error, which says the reason:",
            "",
            "| reason | flags |",
            "| --- | --- |",
            *(f"| {reason} | {' '.join(flags)} |" for reason, flags in by_reason.items()),
            "",
        ]
    )
