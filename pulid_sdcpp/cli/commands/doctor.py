"""`pulid-sdcpp doctor`: what is installed, what is missing, how to get it."""

from __future__ import annotations

import dataclasses
import itertools

import click

from ..progress.json_progress import json_text

__all__ = ["doctor"]

_MARKS = {"ok": " ", "note": " ", "missing": "-", "broken": "!"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Show versions and devices, and what is missing and how to get it.

    "-" marks something optional that is missing, "!" something required that does not work; then
    the exit status is 1.
    """
    from ...doctor import examine

    report = examine()
    if as_json:
        shown = {"healthy": report.healthy, **dataclasses.asdict(report)}
        click.echo(json_text(shown, indent=2))
    else:
        for section, findings in itertools.groupby(report.findings, lambda found: found.section):
            click.echo(section)
            for found in findings:
                click.echo(f"{_MARKS[found.status]} {found.name}: {found.value}".rstrip(": "))
                if found.remedy:
                    click.echo(f"      {found.remedy}")
        click.echo("all that is needed works" if report.healthy else "something needed is broken")
    ctx.exit(0 if report.healthy else 1)
