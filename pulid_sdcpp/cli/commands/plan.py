"""`pulid-sdcpp plan`: which preset suits a computer, what goes where, and what it will take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..flags.generate import plan_options
from ..flags.table import GroupedCommand, GroupedOption
from ..given.given_values import asked, find_model, given_values, preset_name
from ..given.prompt_text import with_prompt_texts
from ..progress.json_progress import json_text
from ..progress.plan_text import computer_lines, fit_lines, plan_lines, time_lines

if TYPE_CHECKING:
    from ...memory.parameters import Layouts
    from ...memory.plan import Plan, Vram
    from ...planning.picture_time import PictureTime
    from ...planning.preset_fit import Computer, PresetFit
    from ...request.generate_request import GenerateRequest

__all__ = ["plan"]

_MODELS = ("preset", "diffusion_model_path", "model_path", "from_picture")


@click.command(cls=GroupedCommand)
@plan_options
@click.option(
    "--measure",
    cls=GroupedOption,
    heading="Memory and speed",
    is_flag=True,
    help="Measure how long a picture takes on this computer: real kernels compute with small "
    "models of random weights for 20 to 40 seconds. Needs up to 1.4 GB for temporary files.",
)
@click.option(
    "--json", "as_json", cls=GroupedOption, heading="Output", is_flag=True, help="Print JSON."
)
@click.pass_context
def plan(ctx: click.Context, vram: Vram, measure: bool, as_json: bool, **_: Any) -> None:
    """Show what fits this computer, and how, without loading or downloading anything.

    \b
    pulid-sdcpp plan                                      which preset to take here
    pulid-sdcpp plan --preset flux-schnell-q4 --vram 4    what goes where on a card of 4 GiB
    pulid-sdcpp plan --preset flux-schnell-q4 --measure   how long a picture takes here

    Takes the flags of generate, and keeps those that you give; generate --vram uses the plan.
    Files of a preset need not be there: what is in them is known.
    """
    given = with_prompt_texts(given_values(ctx))
    if not any(given.get(name) for name in _MODELS):
        _print_presets(given, vram, measure, as_json)
    else:
        _print_plan(given, vram, measure, as_json)


def _print_plan(given: Mapping[str, Any], vram: Vram, measure: bool, as_json: bool) -> None:
    from ...families.pulid_encoders import encoders_of_weights
    from ...memory.plan import plan_memory
    from ...people.id_tokens import most_tokens
    from ...request.generate_request import settle
    from ...store.absent_files import absent_layouts
    from ..given.people import check_people_flags
    from ..given.picture_again import recipe_of

    recipe = recipe_of(given)
    preset = find_model(given, preset_name(given, recipe), may_be_absent=True)
    request = settle({"prompt": "", **asked(given)}, recipe=recipe, preset=preset)
    check_people_flags(given, request)
    absent = {} if preset is None else preset.absent
    layouts = absent_layouts(absent)
    found = plan_memory(
        request.context,
        request.generation,
        vram=vram,
        people=max(len(request.people), 1),
        id_tokens=most_tokens(request.people, encoders_of_weights(request.context.pulid_weights)),
        layouts=layouts,
    )
    spent = _measured(request, found, layouts, as_json) if measure else None
    if as_json:
        described = _described(found)
        described["absent_files"] = {
            one.file.file_name: one.file.shown_bytes for one in absent.values()
        }
        if spent is not None:
            described["measured"] = {**dataclasses.asdict(spent), "picture_s": spent.picture_s}
        click.echo(json_text(described, indent=2))
        return
    click.echo("\n".join(plan_lines(found, request.preset, absent)))
    if spent is not None:
        click.echo("\n" + "\n".join(time_lines(spent)))


def _measured(
    request: GenerateRequest, found: Plan, layouts: Layouts, as_json: bool
) -> PictureTime:
    from ...native.devices import devices
    from ...planning.picture_time import measure_picture
    from ..progress.choice import create_progress

    here = {device.name for device in devices()} | {"CPU"}
    if found.device not in here:
        raise click.UsageError(
            "--measure is about this computer, which has no graphics card to measure; leave out "
            "--vram to measure the CPU"
        )
    progress = create_progress(quiet=as_json, as_json=False)
    return measure_picture(
        request.context, request.generation, found, layouts=layouts, tell=progress.stage
    )


def _print_presets(given: Mapping[str, Any], vram: Vram, measure: bool, as_json: bool) -> None:
    from ...planning.preset_fit import preset_fits, recommend
    from ...store.model_store import ModelStore

    computer = _this_computer(vram)
    fits = preset_fits(ModelStore(given.get("models_dirs", ())), computer, asked(given))
    chosen = recommend(fits)
    if measure and chosen is not None:
        if not as_json:
            click.echo("\n".join([*computer_lines(computer), "", *fit_lines(fits, chosen), ""]))
        _print_plan({**given, "preset": chosen[0].preset}, vram, measure, as_json)
        return
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
