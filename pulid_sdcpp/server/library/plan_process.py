"""Plans in a process of its own: `python -m pulid_sdcpp.server.plan_process`.

Asking a driver what is free takes some of a card's memory for as long as the process lives.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ...errors import MemoryPlanError
from ...memory.plan import Plan, Vram, gib, plan_memory
from ...native.devices import Device, devices
from ...planning.preset_fit import Computer, disk_free_bytes, preset_fits, recommend
from ...request.find_preset import find_preset
from ...request.generate_request import settle
from ...store.absent_files import absent_layouts
from ...store.model_store import ModelStore
from ...system.system_memory import computer_memory
from ..engine.asked_process import answer_questions
from ..engine.engine_messages import ModelChoice
from ..engine.process_streams import own_streams

__all__ = ["FitsRequest", "PlanRequest", "fits_view", "plan_view", "run_plan_process"]

_USABLE = 0.95
"""Of a card's memory, when what is loaded now is freed: the rest is the driver's and others'."""


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned.

    Attributes:
        model: The model and how it is loaded.
        given: Fields as `settle` takes them, without people; pictures are Pillow images.
        people: How many there are.
        id_tokens: As for `plan_memory`.
        is_loaded: Whether a model is on the card now, which would be freed.
    """

    model: ModelChoice
    given: Mapping[str, Any] = field(repr=False)
    people: int = 0
    id_tokens: int = 0
    is_loaded: bool = False


@dataclass(frozen=True)
class FitsRequest:
    """Which presets fit this computer is to be said.

    Attributes:
        models_dirs: Folders of model files.
        is_loaded: As of `PlanRequest`.
    """

    models_dirs: tuple[str, ...] = ()
    is_loaded: bool = False


def fits_view(request: FitsRequest) -> dict[str, Any]:
    """The preset that is `recommended`, "" if none is, and each one's `verdict` and `problem`, as
    `PresetFit` has them.

    Raises:
        DeviceError: The driver does not say how much memory is free.
    """
    there = _as_if_free(devices()) if request.is_loaded else devices()
    computer = Computer(there, "auto", computer_memory(), disk_free_bytes())
    fits = preset_fits(ModelStore(request.models_dirs), computer)
    chosen = recommend(fits)
    return {
        "recommended": "" if chosen is None else chosen[0].preset,
        "presets": {one.preset: {"verdict": one.verdict, "problem": one.problem} for one in fits},
    }


def plan_view(request: PlanRequest) -> dict[str, Any]:
    """The plan as JSON; loads nothing.

    Raises:
        ValueError, ModelFileError, DeviceError: As `plan_memory`, `find_preset` and `settle`.
    """
    model = request.model
    preset = None
    if model.preset:
        preset = find_preset(model.preset, model.models_dirs, model.context, may_be_absent=True)
    settled = settle({**model.context, **request.given}, preset=preset)
    absent = {} if preset is None else preset.absent
    missing = [
        {"file": one.file.file_name, "bytes": one.file.shown_bytes} for one in absent.values()
    ]
    there = _as_if_free(devices()) if request.is_loaded else None
    try:
        plan = plan_memory(
            settled.context,
            settled.generation,
            vram=cast("Vram", "auto" if model.vram is None else model.vram),
            people=max(request.people, 1),
            id_tokens=request.id_tokens,
            available=there,
            layouts=absent_layouts(absent),
        )
    except MemoryPlanError as error:
        return {**_view(None), "fits": False, "message": str(error), "absent_files": missing}
    ram = computer_memory()
    lacks = ram is not None and plan.host_peak_bytes > ram.total_bytes
    message = plan.summary
    if ram is not None and lacks:
        message = (
            f"it needs {gib(plan.host_peak_bytes)} of RAM, and this computer has "
            f"{gib(ram.total_bytes)}; choose a smaller model or size"
        )
    return {**_view(plan), "fits": not lacks, "message": message, "absent_files": missing}


def _as_if_free(there: list[Device]) -> list[Device]:
    return [
        one
        if one.shares_ram
        else dataclasses.replace(
            one,
            memory_free_bytes=max(one.memory_free_bytes, int(one.memory_total_bytes * _USABLE)),
        )
        for one in there
    ]


def _view(plan: Plan | None) -> dict[str, Any]:
    return {
        "device": None if plan is None else plan.device,
        "budget_bytes": None if plan is None else plan.budget_bytes,
        "device_peak_bytes": None if plan is None else plan.device_peak_bytes,
        "host_peak_bytes": None if plan is None else plan.host_peak_bytes,
        "placements": {} if plan is None else dict(plan.placements),
        "flags": [] if plan is None else list(plan.flags),
        "notes": [] if plan is None else list(plan.notes),
    }


def _answer(question: Any) -> dict[str, Any]:
    # By name: this module runs as __main__, so the question's class is that of another module.
    is_of_fits = type(question).__name__ == FitsRequest.__name__
    return fits_view(question) if is_of_fits else plan_view(question)


def run_plan_process() -> None:
    """Serve stdin and stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides what ends
    answer_questions(*own_streams(), _answer)


if __name__ == "__main__":
    run_plan_process()
