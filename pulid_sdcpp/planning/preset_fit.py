"""Which presets fit a computer, whether their files are here or not, and which to take."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import MemoryPlanError, ModelFileError
from ..memory.plan import Plan, Vram, gib, plan_memory
from ..native.devices import Device
from ..options.generation import GenerationOptions, with_checked
from ..request.find_preset import find_preset
from ..request.generate_request import settle
from ..store.absent_files import absent_layouts
from ..store.model_store import ModelStore
from ..store.registry import FAMILIES, MODEL_ROLES
from ..system.size_text import described_size
from ..system.system_memory import ComputerMemory

__all__ = ["Computer", "PresetFit", "Verdict", "disk_free_bytes", "preset_fits", "recommend"]

Verdict = Literal["fits", "offloaded", "in segments", "unknown", "does not fit"]
_USABLE: tuple[Verdict, ...] = ("fits", "offloaded", "in segments")
_FEW_STEPS = 4


@dataclass(frozen=True)
class Computer:
    """What a preset has to fit.

    Attributes:
        devices: As the engine lists them; empty: there is no engine.
        vram: GiB of a card, or "auto": what is free.
        ram: None: unknown, or of another computer.
        disk_free_bytes: Where downloads go; None: unknown.
    """

    devices: Sequence[Device] = ()
    vram: Vram = "auto"
    ram: ComputerMemory | None = None
    disk_free_bytes: int | None = None


@dataclass(frozen=True)
class PresetFit:
    """One preset on one computer.

    Attributes:
        preset, what: Its name, and what it is for.
        steps: That it takes for a picture.
        size_bytes: Of all its files; 0: they are in the package.
        missing_bytes: Of those that are not here.
        verdict: "fits", also with the text encoders on the CPU; "offloaded": weights wait in RAM
            and are moved to the card for each picture; "in segments": at each step; "unknown":
            its files would have to be here.
        plan: None: it does not fit, or is unknown.
        problem: Why it does not fit, or is unknown; "".
        family: "flux" or "sdxl".
        needs_free_memory: Whether it takes more RAM than is free now.
        non_commercial: Whether a license of a file that makes pictures forbids commercial use.
    """

    preset: str
    what: str
    steps: int
    size_bytes: int
    missing_bytes: int
    verdict: Verdict
    plan: Plan | None = None
    problem: str = ""
    family: str = "flux"
    needs_free_memory: bool = False
    non_commercial: bool = False
    weights_bytes: int = field(default=0, repr=False)

    @property
    def packaged(self) -> bool:
        """Whether it comes with the package."""
        return self.size_bytes == 0

    @property
    def complete(self) -> bool:
        """Whether all its files are here."""
        return self.missing_bytes == 0


def preset_fits(
    store: ModelStore, computer: Computer, given: Mapping[str, Any] | None = None
) -> list[PresetFit]:
    """Plan a picture with every preset.

    Args:
        store: Where files are looked for.
        computer: What they have to fit.
        given: What was asked for, of the fields that `settle` takes; a size, for example.

    Raises:
        ValueError: What is asked for cannot be.
        DeviceError: The driver does not say how much memory is free.
    """
    return [_fit(store, name, computer, dict(given or {})) for name in store.registry.presets]


def recommend(fits: Sequence[PresetFit]) -> tuple[PresetFit, str] | None:
    """The preset to take, and why in a few words; None: there is not even the packaged one.

    First what needs no moving of weights, then what takes few steps, then Flux where it fits a
    card, then what is here; among those the most bits if all fits the card, else the fewest.
    """
    usable = [fit for fit in fits if fit.verdict in _USABLE and not fit.packaged]
    if not usable:
        packaged = next((fit for fit in fits if fit.packaged), None)
        return None if packaged is None else (packaged, "no other fits, and it needs no download")
    best = min(usable, key=_preference)
    plan = best.plan
    if plan is None or plan.budget_bytes is None:
        why = "fewest steps, and the smallest of those: on a CPU, more bits are not faster"
    elif best.verdict == "fits":
        why = "fewest steps, and the most bits that fit without moving weights to and fro"
    else:
        why = "nothing fits as a whole; fewest steps, and least to move"
    return best, why


def _preference(fit: PresetFit) -> tuple[int, bool, bool, bool, int]:
    on_card = fit.plan is not None and fit.plan.budget_bytes is not None
    most_bits = on_card and fit.verdict == "fits"
    size = -fit.weights_bytes if most_bits else fit.weights_bytes
    smaller_model = most_bits and fit.family != FAMILIES[0]
    few = fit.steps <= _FEW_STEPS
    return _USABLE.index(fit.verdict), not few, smaller_model, not fit.complete, size


def disk_free_bytes() -> int | None:
    """Free on the disk that downloads go to."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _fit(store: ModelStore, name: str, computer: Computer, given: dict[str, Any]) -> PresetFit:
    registry = store.registry
    preset = registry.preset(name)
    found = store.find_all(preset)
    missing = sum(one.file.shown_bytes for one in found.values() if one.path is None)
    makers = [one.file for role, one in found.items() if role in MODEL_ROLES]
    fit = PresetFit(
        preset=name,
        what=preset.what,
        steps=preset.settings.get("steps", GenerationOptions.steps),
        size_bytes=sum(one.file.shown_bytes for one in found.values()),
        missing_bytes=missing,
        verdict="does not fit",
        family=preset.family,
        non_commercial=any(not registry.license_of(one).commercial for one in makers),
        weights_bytes=sum(one.shown_bytes for one in makers),
    )
    disk = computer.disk_free_bytes
    if disk is not None and missing > disk:
        problem = f"{described_size(missing)} to download, {described_size(disk)} free on the disk"
        return replace(fit, problem=problem)
    try:
        files = find_preset(name, (), given, may_be_absent=True, store=store)
        request = settle({"prompt": "", **given}, preset=files)
        layouts = absent_layouts(files.absent)
        make_plan = functools.partial(
            plan_memory,
            request.context,
            vram=computer.vram,
            people=max(len(request.people), 1),
            available=computer.devices,
            ram=computer.ram,
            layouts=layouts,
        )
        plan = make_plan(request.generation)
        if plan.budget_bytes is None and _too_much(plan, computer):
            tiled = with_checked(request.generation, vae_tiling=True)
            plan = replace(make_plan(tiled), generation={"vae_tiling": True})
    except MemoryPlanError as error:
        return replace(fit, problem=str(error))
    except ModelFileError as error:
        return replace(fit, verdict="unknown", problem=str(error))
    if problem := _too_much(plan, computer):
        return replace(fit, problem=problem)
    ram = computer.ram
    is_tight = ram is not None and plan.host_peak_bytes > ram.available_bytes
    tight = is_tight and plan.shared_bytes is None
    return replace(fit, verdict=_verdict(plan), plan=plan, needs_free_memory=tight)


def _too_much(plan: Plan, computer: Computer) -> str:
    """ "" or how much RAM it would take."""
    if computer.ram is None or plan.shared_bytes is not None:  # these are planned for
        return ""
    if plan.host_peak_bytes <= computer.ram.total_bytes:
        return ""
    total = computer.ram.total_bytes / (1 << 30)
    return f"it needs {gib(plan.host_peak_bytes)} of RAM, and this computer has {total:.1f} GiB"


def _verdict(plan: Plan) -> Verdict:
    if "max_vram" in plan.context:
        return "in segments"
    return "offloaded" if "offload_params_to_cpu" in plan.context else "fits"
