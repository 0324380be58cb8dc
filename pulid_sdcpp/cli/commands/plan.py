"""`pulid-sdcpp plan`: what goes where so that a picture fits a card, and what it will take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from ..flags.generate import plan_options
from ..flags.table import GroupedCommand, GroupedOption
from ..given.given_values import asked, find_model, given_values, preset_name
from ..progress.json_progress import json_text

if TYPE_CHECKING:
    from ...memory.plan import Plan

__all__ = ["plan"]

_MODULES = {"diffusion": "diffusion model", "clip": "text encoders", "vae": "autoencoder"}
_PHASES = {
    "picture": "reading the pictures given",
    "prompt": "reading the prompt",
    "denoise": "each step",
    "decode": "decoding",
}


@click.command(cls=GroupedCommand)
@plan_options
@click.option(
    "--json", "as_json", cls=GroupedOption, heading="Output", is_flag=True, help="Print JSON."
)
@click.pass_context
def plan(ctx: click.Context, vram: Any, as_json: bool, **_: Any) -> None:
    """Show how a picture would fit into a graphics card's memory, without loading anything.

    Takes the flags of generate, and keeps those that you give. generate --vram uses the plan.
    """
    from ...memory.plan import plan_memory
    from ...request.generate_request import settle

    given = given_values(ctx)
    preset = find_model(given, preset_name(given))
    request = settle({"prompt": "", **asked(given)}, preset=preset)
    found = plan_memory(request.context, request.generation, vram=vram)
    if as_json:
        click.echo(json_text(_described(found), indent=2))
    else:
        _print(found)


def _described(found: Plan) -> dict[str, Any]:
    return {
        **dataclasses.asdict(found),
        "flags": list(found.flags),
        "device_peak_bytes": found.device_peak_bytes,
        "host_peak_bytes": found.host_peak_bytes,
    }


def _print(found: Plan) -> None:
    from ...memory.plan import gib

    size = f"{found.width}x{found.height}"
    if found.budget_bytes is None:
        click.echo(f"{size} on the CPU, {gib(found.host_peak_bytes)} of RAM at most")
    else:
        click.echo(
            f"{size} in {gib(found.budget_bytes)} of {found.device}: {gib(found.device_peak_bytes)}"
            f" at most, and {gib(found.host_peak_bytes)} of RAM"
        )
    click.echo()
    for module, place in found.placements.items():
        click.echo(f"  {_MODULES[module]:<27}{place}")
    click.echo()
    click.echo(f"  {'at most, while':<27}{'device':>10}{'RAM':>12}")
    for phase in found.phases:
        on_device = phase.device_bytes + (found.context_bytes if phase.device_bytes else 0)
        click.echo(f"  {_PHASES[phase.name]:<27}{gib(on_device):>10}{gib(phase.host_bytes):>12}")
    click.echo()
    for note in found.notes:
        click.echo(f"  {note}")
    if found.flags:
        click.echo(f"\nby hand: {' '.join(found.flags)}")
