"""A plan of memory, and which presets fit, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...memory.plan import Plan
    from ...planning.picture_time import PictureTime
    from ...planning.preset_fit import Computer, PresetFit
    from ...store.model_store import FileFound

__all__ = ["computer_lines", "fit_lines", "plan_lines", "time_lines"]

_MODULES = {"diffusion": "diffusion model", "clip": "text encoders", "vae": "autoencoder"}
_PHASES = {
    "picture": "reading the pictures given",
    "prompt": "reading the prompt",
    "denoise": "each step",
    "decode": "decoding",
    "upscale": "enlarging",
}


def plan_lines(found: Plan, preset: str, absent: Mapping[str, FileFound]) -> Iterator[str]:
    """Where everything is, what each phase takes, and which files were planned without them."""
    from ...memory.plan import gib

    size = f"{found.width}x{found.height}"
    if found.budget_bytes is None:
        yield f"{size} on the CPU, {gib(found.host_peak_bytes)} of RAM at most"
    elif found.shared_bytes is not None:
        yield (
            f"{size} on {found.device}, which shares the computer's memory: "
            f"{gib(found.shared_peak_bytes)} at most of {gib(found.shared_bytes)} for both"
        )
    else:
        yield (
            f"{size} in {gib(found.budget_bytes)} of {found.device}: {gib(found.device_peak_bytes)}"
            f" at most, and {gib(found.host_peak_bytes)} of RAM"
        )
    yield ""
    yield f"  {'identities':<27}{_people(found.people)}"
    for module, place in found.placements.items():
        yield f"  {_MODULES[module]:<27}{place}"
    yield ""
    yield from _phase_lines(found)
    yield ""
    for note in found.notes:
        yield f"  {note}"
    if absent:
        yield ""
        yield from _absent_lines(preset, absent)
    if found.flags:
        yield f"\nby hand: {' '.join(found.flags)}"


def time_lines(found: PictureTime) -> Iterator[str]:
    """What a picture takes, and where the numbers are from."""
    who = f" with {_people(found.people)}" if found.people else ""
    size = f"{found.width}x{found.height}"
    yield f"a picture of {size}{who} takes about {_seconds(found.picture_s)} here"
    each = found.denoise_s / max(found.evaluations, 1)
    yield f"  encoding a new prompt      {_seconds(found.text_s)}"
    yield (
        f"  denoising                  {_seconds(found.denoise_s)}, {found.evaluations} evaluations"
        f" of {_seconds(each)}"
    )
    if found.flux is not None and found.people:
        share = found.people * found.flux.identity_s / each if each else 0.0
        yield f"    of which identities      {f'{share:.1%}' if share else 'too little to measure'}"
    yield f"  decoding                   {_seconds(found.decode_s)}"
    for title, lines in (
        ("measured, with random weights", found.measured),
        ("computed from it", found.computed),
        ("not counted", found.not_counted),
    ):
        if lines:
            yield f"  {title}: {'; '.join(lines)}"
    if found.busy:
        yield f"  {found.busy}"
    yield f"  measuring took {_seconds(found.spent_s)}"


def _seconds(count: float) -> str:
    if count >= 120:
        return f"{count / 60:.1f} minutes"
    return f"{count:.2g} s" if count < 10 else f"{count:.0f} s"


def computer_lines(computer: Computer) -> Iterator[str]:
    """The computer that presets have to fit."""
    from ...options.processor_cores import usable_cores
    from ...system.size_text import described_size

    for device in computer.devices:
        if device.kind == "cpu":
            continue
        memory = ""
        if device.memory_total_bytes:
            free, total = _gib(device.memory_free_bytes), _gib(device.memory_total_bytes)
            memory = f", {free} of {total} GiB free"
        shares = ", which shares the computer's memory" if device.shares_ram else ""
        yield f"{device.name}: {device.description}{memory}{shares}"
    words = [f"{usable_cores()} CPU threads"]
    if computer.ram is not None:
        free, total = _gib(computer.ram.available_bytes), _gib(computer.ram.total_bytes)
        words.append(f"{free} of {total} GiB of RAM free")
    if computer.disk_free_bytes is not None:
        words.append(f"{described_size(computer.disk_free_bytes)} free on the disk")
    yield ", ".join(words)
    if computer.vram != "auto":
        yield f"planned for a graphics card of {computer.vram:g} GiB (--vram)"


def fit_lines(fits: Sequence[PresetFit], chosen: tuple[PresetFit, str] | None) -> Iterator[str]:
    """A table of presets, and what to do."""
    from ...system.size_text import described_size

    width = max(len(fit.preset) for fit in fits) + 2
    yield f"{'preset':<{width}}{'download':>9}  for a picture"
    for fit in fits:
        if fit.packaged:
            size = "none"
        else:
            size = "here" if fit.complete else described_size(fit.missing_bytes)
        full = ", more than is free now" if fit.needs_free_memory else ""
        yield f"{fit.preset:<{width}}{size:>9}  {_verdict(fit)}{full}"
    yield ""
    if chosen is None:
        yield "nothing fits"
        return
    fit, why = chosen
    use = ", non-commercial" if fit.non_commercial else ""
    yield f"recommended: {fit.preset} ({fit.what}{use})"
    yield f"  why: {why}"
    if fit.packaged:
        yield f"  try it: pulid-sdcpp generate --preset {fit.preset}"
        return
    if fit.complete:
        yield "  all its files are here"
    else:
        yield (
            f"  to download: {described_size(fit.missing_bytes)} of "
            f"{described_size(fit.size_bytes)}, with 'pulid-sdcpp models pull {fit.preset}'"
        )
    vram = "" if fit.plan is None or fit.plan.budget_bytes is None else " --vram auto"
    flags = " ".join(fit.plan.flags) if fit.plan is not None and not vram else ""
    call = f"pulid-sdcpp generate --preset {fit.preset}{vram}{flags and ' ' + flags}"
    yield f"  then: {call} ..."
    yield f"  how long a picture takes: pulid-sdcpp plan --preset {fit.preset} --measure"


def _verdict(fit: PresetFit) -> str:
    from ...memory.plan import gib

    plan = fit.plan
    if plan is None:
        return f"{fit.verdict}: {fit.problem}"
    size = f"{plan.width}x{plan.height}"
    if plan.budget_bytes is None:
        return f"fits: {size}, {gib(plan.host_peak_bytes)} of RAM"
    if plan.shared_bytes is not None:
        return f"{fit.verdict}: {size}, {gib(plan.shared_peak_bytes)} of memory"
    return (
        f"{fit.verdict}: {size}, {gib(plan.device_peak_bytes)} of the card and "
        f"{gib(plan.host_peak_bytes)} of RAM"
    )


def _phase_lines(found: Plan) -> Iterator[str]:
    from ...memory.plan import gib

    has_own_memory = found.budget_bytes is not None and found.shared_bytes is None
    heads = ("device", "RAM") if has_own_memory else ("RAM",)
    yield f"  {'at most, while':<27}{heads[0]:>10}" + "".join(f"{head:>12}" for head in heads[1:])
    for phase in found.phases:
        on_device = phase.device_bytes + (found.context_bytes if phase.device_bytes else 0)
        line = f"  {_PHASES[phase.name]:<27}"
        if has_own_memory:
            yield f"{line}{gib(on_device):>10}{gib(phase.host_bytes):>12}"
        else:
            yield f"{line}{gib(on_device + phase.host_bytes):>10}"


def _absent_lines(preset: str, absent: Mapping[str, FileFound]) -> Iterator[str]:
    from ...system.size_text import described_size

    yield "  not here, so planned from what such files have in them:"
    for found in absent.values():
        yield f"    {found.describe_missing()}"
    total = sum(found.file.shown_bytes for found in absent.values())
    yield (
        f"  {described_size(total)} in all; 'pulid-sdcpp models pull {preset}' downloads them, and "
        "what reads faces from photos"
    )


def _people(count: int) -> str:
    if not count:
        return "none: there are no PuLID weights"
    return "1 person" if count == 1 else f"{count} people"


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f}"
