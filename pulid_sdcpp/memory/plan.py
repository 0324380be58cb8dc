"""Decide what goes where, so that a generation fits a graphics card.

Nothing is loaded: the files' headers and a model of the engine's buffers say what each phase
needs, and the measures that cost least time are taken until it fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import DeviceError, MemoryPlanError, NativeLibraryError, named, option_error
from ..native.devices import Device, Placement, devices, parse_backend
from ..options.checks import check_number
from ..options.context import ContextOptions
from ..options.facts import of
from ..options.generation import GenerationOptions, with_checked
from ..system.system_memory import ComputerMemory, computer_memory
from .compute import DEFAULT_TILE, NEVER_BYTES
from .measures import (
    CONTEXT_BYTES,
    GIB,
    Given,
    choose_measures,
    largest_size,
    least_budget,
    shared_peak,
)
from .model import Measures, Phase, PictureSizes, device_peak, phases
from .parameters import Layouts, ModelSizes, model_sizes
from .picture_sizes import given_measures, picture_sizes

__all__ = ["LEAST_GIB", "Plan", "Vram", "gib", "plan_memory"]

LEAST_GIB, MOST_GIB = 0.5, 4096.0

Vram = float | Literal["auto"]


@dataclass(frozen=True)
class Plan:
    """Where each model is placed, and how much memory it needs.

    Attributes:
        device: The device that it is for, "CPU" if there is no other.
        budget_bytes: Memory of the device to use; None on the CPU.
        width, height: Of the picture.
        placements: "device" or "CPU" for each module: diffusion, clip, vae.
        context, generation: The options that the plan changes, by field.
        phases: Memory of each phase, in order.
        context_bytes: The driver's expected share of the device's peak.
        notes: Reasons, one line each.
        people: Of how many the identities are counted.
        shared_bytes: Where the device has no memory of its own (integrated graphics, Apple
            Silicon): how much of the computer's there is for both together. None: it has.
    """

    device: str
    budget_bytes: int | None
    width: int
    height: int
    placements: Mapping[str, str]
    context: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    context_bytes: int = 0
    notes: tuple[str, ...] = ()
    people: int = 0
    shared_bytes: int | None = None

    @property
    def device_peak_bytes(self) -> int:
        """Peak of memory on the device, including the driver's share; 0 on the CPU."""
        peak = device_peak(self.phases)
        return peak + self.context_bytes if peak else 0

    @property
    def host_peak_bytes(self) -> int:
        """Peak of the computer's own memory."""
        return max((phase.host_bytes for phase in self.phases), default=0)

    @property
    def shared_peak_bytes(self) -> int:
        """Peak of device and computer together, where they share one memory."""
        return shared_peak(self.phases) if self.phases else 0

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of the command line that do the same."""
        facts = {**of(ContextOptions), **of(GenerationOptions)}
        flags = []
        for name, value in {**self.context, **self.generation}.items():
            flags.append(facts[name].flags)
            if not isinstance(value, bool):
                is_pair = isinstance(value, tuple)
                flags.append("x".join(map(str, value)) if is_pair else f"{value:g}")
        return tuple(flags)

    @property
    def summary(self) -> str:
        """The measures and the memory, in one line."""
        if self.budget_bytes is None:
            return f"{self.notes[0]}, {gib(self.host_peak_bytes)} at most"
        if self.shared_bytes is not None:
            return (
                f"{' '.join(self.flags) or 'everything'} on {self.device}:"
                f" {gib(self.shared_peak_bytes)} at most of the"
                f" {gib(self.shared_bytes)} that it shares with the computer"
            )
        return (
            f"{' '.join(self.flags) or 'everything'} on {self.device}:"
            f" {gib(self.device_peak_bytes)} of {gib(self.budget_bytes)} at most, and"
            f" {gib(self.host_peak_bytes)} of RAM"
        )

    def apply(
        self, context: ContextOptions, generation: GenerationOptions
    ) -> tuple[ContextOptions, GenerationOptions]:
        """The options, with this plan applied."""
        if self.context:
            context = replace(context, **self.context)
        return context, with_checked(generation, **self.generation)


def plan_memory(
    context: ContextOptions,
    generation: GenerationOptions | None = None,
    *,
    vram: Vram = "auto",
    people: int = 1,
    id_tokens: int = 0,
    this_computer: bool = False,
    available: Sequence[Device] | None = None,
    ram: ComputerMemory | None = None,
    layouts: Layouts | None = None,
) -> Plan:
    """Plan where to place the models, so that a picture fits into a device's memory.

    Measures that the options already turn on stay on, and `backend` is kept.

    Args:
        context: The model files, and how they are loaded.
        generation: The picture's options; None: the default size.
        vram: GiB to use, 0.5 to 4096; "auto": what is free on the device now.
        people: Number of identities in the picture.
        id_tokens: Tokens of the largest of them; 0: as many as one photo makes. PuLID v1 for SDXL
            makes more of several photos.
        this_computer: If there is no graphics card, plan for the CPU, as "auto" does; otherwise a
            number is for a card in another computer.
        available: The devices; None asks the engine.
        ram: The computer's memory, for devices that share it; None asks the system.
        layouts: Tensors of model files that are not here yet, by field of `ContextOptions`; see
            `published_layout`. Nothing is read of those files.

    Raises:
        ValueError: The budget is out of range; or `max_vram` is given, too.
        MemoryPlanError: It cannot fit; names the nearest settings that do.
        ModelFileError: A model file cannot be used.
        DeviceError: The driver does not say how much memory is free, or the device is unknown.
    """
    picture = generation if generation is not None else GenerationOptions("")
    if vram != "auto":
        check_number("vram", vram, LEAST_GIB, MOST_GIB)
    if context.max_vram:
        raise option_error(
            f"{named('max_vram')} is given together with {named('vram')}, which decides it; "
            f"leave one out"
        )
    device, placement = _device(context, vram, available)
    if device is not None and not context.backend and vram != "auto" and not this_computer:
        device = None if device.kind == "cpu" else device
    models = model_sizes(context, layouts, id_tokens)
    sizes = picture_sizes(context, picture, people, layouts)
    given = given_measures(context, picture, placement)
    counted = max(people, 1) if context.pulid_weights is not None else 0
    if device is not None and device.kind == "cpu":
        return replace(_cpu_plan(models, sizes, given), people=counted)
    name = device.name if device is not None else "the graphics card"
    budget, shared = _budget(vram, device, ram)
    measures = choose_measures(models, sizes, budget, given, shared)
    if measures is None:
        raise MemoryPlanError(_refusal(models, sizes, budget, given, name, shared))
    found = _plan(name, budget, models, sizes, measures, given)
    return replace(found, people=counted, shared_bytes=shared)


def gib(count: int) -> str:
    """Bytes for people; rounded up, so that what is said is enough."""
    return f"{math.ceil(count / GIB * 100) / 100:.2f} GiB"


def _device(
    context: ContextOptions, vram: Vram, available: Sequence[Device] | None
) -> tuple[Device | None, Placement]:
    """The device of the diffusion model; None: a card that is not in this computer."""
    try:
        there = devices() if available is None else available
    except NativeLibraryError:
        if vram == "auto" or context.backend:
            raise
        return None, Placement()
    placement = parse_backend(context.backend, there)
    if placement.diffusion:
        return next(device for device in there if device.name == placement.diffusion), placement
    kinds = ("gpu", "igpu", "accel")  # the order of the engine's own choice
    cards = sorted(
        (device for device in there if device.kind in kinds), key=lambda d: kinds.index(d.kind)
    )
    return (cards or [_cpu(there)])[0], placement


def _cpu(there: Sequence[Device]) -> Device:
    cpu = next((device for device in there if device.kind == "cpu"), None)
    return cpu or Device("CPU", "", "cpu", 0, 0)


def _budget(
    vram: Vram, device: Device | None, ram: ComputerMemory | None
) -> tuple[int, int | None]:
    """Of the device; and of the computer, if the device shares its memory."""
    shared = None
    if device is not None and device.shares_ram:
        memory = ram or computer_memory()
        if memory is not None:
            shared = memory.total_bytes if vram != "auto" else memory.available_bytes
    if vram != "auto":
        return int(vram * GIB), shared
    free = device.memory_free_bytes if device is not None else 0
    if shared is not None:  # a driver does not know what other programs use
        return min(free or shared, shared), shared
    if not free:
        name = device.name if device is not None else "the device"
        raise DeviceError(
            f"the driver of {name} does not say how much memory is free; name it, as in --vram 4"
        )
    return free, None


def _plan(
    name: str,
    budget: int,
    models: ModelSizes,
    picture: PictureSizes,
    measures: Measures,
    given: Given,
) -> Plan:
    context: dict[str, Any] = {}
    generation: dict[str, Any] = {}
    notes = []
    if measures.tile is not None and not given.tiling:
        generation["vae_tiling"] = True
        found = phases(models, picture, replace(measures, tile=None))
        whole = next(phase for phase in found if phase.name == "decode")
        taken = whole.device_bytes or whole.host_bytes
        notes.append(
            f"tiles: decoding in one piece would take {gib(taken)}"
            if taken < NEVER_BYTES
            else "tiles: in one piece the decoder has a tensor larger than drivers allocate at once"
        )
    if measures.tile is not None and given.tile is None and measures.tile[0] != DEFAULT_TILE:
        generation["vae_tile_size"] = measures.tile
        notes.append("smaller tiles: those of the engine's own size would be too large")
    if measures.text_on_cpu and given.text_on_cpu is None:
        context["keep_clip_on_cpu"] = True
        notes.append(f"text encoders on the CPU: {gib(models.clip + models.t5)} stay off the card")
    if measures.vae_on_cpu and given.vae_on_cpu is None:
        context["keep_vae_on_cpu"] = True
        notes.append("the autoencoder on the CPU: slow, but there is no room for a tile of it")
    if measures.offload and not given.offload:
        context["offload_params_to_cpu"] = True
        notes.append("offload: weights wait in RAM, and are on the card while they are needed")
    if measures.segment_bytes:
        context["max_vram"] = measures.segment_bytes / GIB
        notes.append("segments: the diffusion model visits the card a few blocks at a time")
    place = {True: "CPU", False: name}
    return Plan(
        device=name,
        budget_bytes=budget,
        width=picture.width,
        height=picture.height,
        placements={
            "diffusion": name,
            "clip": place[measures.text_on_cpu],
            "vae": place[measures.vae_on_cpu],
        },
        context=context,
        generation=generation,
        phases=phases(models, picture, measures),
        context_bytes=CONTEXT_BYTES,
        notes=tuple(notes) or ("everything fits as it is: nothing to do",),
    )


def _cpu_plan(models: ModelSizes, picture: PictureSizes, given: Given) -> Plan:
    measures = Measures(
        flash_attention=given.flash_attention,
        tile=given.tile or ((DEFAULT_TILE, DEFAULT_TILE) if given.tiling else None),
        direct=given.direct,
    )
    return Plan(
        device="CPU",
        budget_bytes=None,
        width=picture.width,
        height=picture.height,
        placements=dict.fromkeys(("diffusion", "clip", "vae"), "CPU"),
        phases=phases(models, picture, measures, on_cpu=True),
        notes=("there is no graphics device to plan for: everything is on the CPU and in RAM",),
    )


def _refusal(
    models: ModelSizes,
    picture: PictureSizes,
    budget: int,
    given: Given,
    name: str,
    shared: int | None,
) -> str:
    size = largest_size(models, picture, budget, given, shared)
    nearest = f"the largest picture that fits is {size[0]}x{size[1]}" if size else "no size fits"
    wanted = f"{picture.width}x{picture.height}"
    if shared is not None:
        least = least_budget(models, picture, given, shared=True)
        if least > shared:
            return (
                f"{wanted} does not fit into the {shared / GIB:.2f} GiB that {name} shares with "
                f"the computer: it needs {gib(least)}, and {nearest}; close other programs, make "
                "a smaller picture, or take a model in fewer bits"
            )
    least = least_budget(models, picture, given)
    return (
        f"{wanted} does not fit into {budget / GIB:.2f} GiB of {name}: it "
        f"needs {gib(least)}, and {nearest}; give it more with --vram, or make a smaller picture"
    )
