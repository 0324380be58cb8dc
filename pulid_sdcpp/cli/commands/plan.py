"""`pulid-sdcpp plan`: which preset suits a computer, what goes where, and what it will take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..flags.generate import plan_options
from ..flags.table import GroupedCommand, GroupedOption
from ..given.given_values import asked, find_model, given_values, preset_name
from ..progress.json_progress import json_text
from ..progress.plan_text import computer_lines, fit_lines, plan_lines

if TYPE_CHECKING:
    from ...memory.plan import Plan, Vram
    from ...planning.preset_fit import Computer, PresetFit

__all__ = ["plan"]

_MODELS = ("preset", "diffusion_model_path", "model_path", "from_picture")


@click.command(cls=GroupedCommand)
@plan_options
@click.option(
    "--json", "as_json", cls=GroupedOption, heading="Output", is_flag=True, help="Print JSON."
)
@click.pass_context
def plan(ctx: click.Context, vram: Vram, as_json: bool, **_: Any) -> None:
    """Show what fits this computer, and how, without loading or downloading anything.

    \b
    pulid-sdcpp plan                                      which preset to take here
    pulid-sdcpp plan --preset flux-schnell-q4 --vram 4    what goes where on a card of 4 GiB

    Takes the flags of generate, and keeps those that you give; generate --vram uses the plan.
    Files of a preset need not be there: what is in them is known.
    """
    given = given_values(ctx)
    if not any(given.get(name) for name in _MODELS):
        _print_presets(given, vram, as_json)
    else:
        _print_plan(given, vram, as_json)


def _print_plan(given: Mapping[str, Any], vram: Vram, as_json: bool) -> None:
    from ...memory.plan import plan_memory
    from ...request.generate_request import settle
    from ...store.absent_files import absent_layouts
    from ..given.people import check_people_flags
    from ..given.picture_again import recipe_of

    recipe = recipe_of(given)
    preset = find_model(given, preset_name(given, recipe), may_be_absent=True)
    request = settle({"prompt": "", **asked(given)}, recipe=recipe, preset=preset)
    check_people_flags(given, request)
    absent = {} if preset is None else preset.absent
    found = plan_memory(
        request.context,
        request.generation,
        vram=vram,
        people=max(len(request.people), 1),
        layouts=absent_layouts(absent),
    )
    if as_json:
        described = _described(found)
        described["absent_files"] = {
            one.file.file_name: one.file.shown_bytes for one in absent.values()
        }
        click.echo(json_text(described, indent=2))
        return
    click.echo("\n".join(plan_lines(found, request.preset, absent)))


def _print_presets(given: Mapping[str, Any], vram: Vram, as_json: bool) -> None:
    from ...planning.preset_fit import preset_fits, recommend
    from ...store.model_store import ModelStore

    computer = _this_computer(vram)
    fits = preset_fits(ModelStore(given.get("models_dirs", ())), computer, asked(given))
    chosen = recommend(fits)
    if as_json:
        described = {
            "recommended": None if chosen is None else chosen[0].preset,
            "why": "" if chosen is None else chosen[1],
            "presets": [_described_fit(fit) for fit in fits],
        }
        click.echo(json_text(described, indent=2))
        return
    click.echo("\n".join([*computer_lines(computer), "", *fit_lines(fits, chosen)]))


def _this_computer(vram: Vram) -> Computer:
    from ...errors import NativeLibraryError
    from ...native.devices import devices
    from ...planning.preset_fit import Computer, disk_free_bytes
    from ...system.system_memory import computer_memory

    try:
        available = devices()
    except NativeLibraryError:
        available = []
    is_elsewhere = vram != "auto" and all(device.kind == "cpu" for device in available)
    return Computer(available, vram, None if is_elsewhere else computer_memory(), disk_free_bytes())


def _described(found: Plan) -> dict[str, Any]:
    return {
        **dataclasses.asdict(found),
        "flags": list(found.flags),
        "device_peak_bytes": found.device_peak_bytes,
        "host_peak_bytes": found.host_peak_bytes,
        "shared_peak_bytes": found.shared_peak_bytes if found.shared_bytes is not None else None,
    }


def _described_fit(fit: PresetFit) -> dict[str, Any]:
    described = {
        name: getattr(fit, name)
        for name in ("preset", "what", "steps", "size_bytes", "missing_bytes", "complete",
                     "verdict", "problem", "needs_free_memory", "non_commercial")
    }  # fmt: skip
    return {**described, "plan": None if fit.plan is None else _described(fit.plan)}
