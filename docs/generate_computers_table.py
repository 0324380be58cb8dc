"""Write the quick start's table of computers with the planner itself; a test compares it.

python docs/generate_computers_table.py
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pulid_sdcpp.memory.plan import Plan
from pulid_sdcpp.native.devices import Device
from pulid_sdcpp.planning.preset_fit import Computer, PresetFit, preset_fits, recommend
from pulid_sdcpp.store.model_store import ModelStore
from pulid_sdcpp.system.system_memory import ComputerMemory

__all__ = ["CARDS_GIB", "CPU_SIDE", "NO_CARD", "OUTPUT", "cpu_step_s", "place", "ram_gib", "render"]

OUTPUT = Path(__file__).with_name("quick-start.md")
GIB = 1 << 30
CARDS_GIB = (4, 6, 8, 10, 12, 16, 24)
MACS_GIB = (8, 16, 24, 32)
MAC_USED_GIB = 3
"""By macOS and other programs."""
METAL_PART = 0.75
"""Of a Mac's memory, what its driver offers to programs."""
FAMILIES = ("flux-schnell-", "flux-dev-")
SDXL = "sdxl-lightning"
CPU_SIDE = {"width": 512, "height": 512}
NO_CARD = Computer((Device("CPU", "a processor", "cpu", 0, 0),), "auto")
# Of Flux: blocks, and multiplications for a token in each, in squares of the width.
DOUBLE, SINGLE, DOUBLE_COST, SINGLE_COST = 19, 38, 18, 15


def render(page: str) -> str:
    """The quick start with its table made anew."""
    begin, end = "<!-- computers -->\n", "<!-- end -->"
    old = re.search(f"{begin}.*?{end}", page, re.DOTALL)
    if old is None:
        raise SystemExit("the quick start has no place for its table of computers")
    return page.replace(old[0], f"{begin}{_table()}\n{end}")


def cpu_step_s(measured_s: float, *, double: int, single: int, side: int, wanted: int) -> float:
    """A step of the whole Flux, from one of a few of its blocks at another size.

    Args:
        measured_s: Of a step with `double` and `single` blocks of the real width.
        side: Of the square picture that was measured, in pixels.
        wanted: Of the one that is asked about.
    """
    blocks = (DOUBLE * DOUBLE_COST + SINGLE * SINGLE_COST) / (
        double * DOUBLE_COST + single * SINGLE_COST
    )
    return measured_s * blocks * _tokens(wanted) / _tokens(side)


def _tokens(side: int) -> int:
    """Of a square picture and its prompt."""
    return (side // 16) ** 2 + 256


def _table() -> str:
    lines = [
        "| your computer | fast, any use | more detail, non-commercial | where it runs | RAM "
        "| SDXL, any use | where it runs | RAM |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, computer, given in _computers():
        fits = [replace(fit, missing_bytes=fit.size_bytes) for fit in _fits(computer, given)]
        flux = _cells([_best(fits, family) for family in FAMILIES])
        lines.append("| " + " | ".join([name, *flux, *_cells([_best(fits, SDXL)])]) + " |")
    return "\n".join(lines)


def _cells(best: list[PresetFit | None]) -> list[str]:
    """Names of presets, where they run, and the RAM that they take."""
    presets = [f"`{one.preset}`" if one is not None else "none fits" for one in best]
    plans = [one.plan for one in best if one is not None and one.plan is not None]
    places = dict.fromkeys(place(plan) for plan in plans)
    most = max(map(ram_gib, plans), default=None)
    return [*presets, "; ".join(places), "" if most is None else f"{most} GiB"]


def _computers() -> Iterator[tuple[str, Computer, dict[str, int]]]:
    for gib in CARDS_GIB:
        yield f"a card of {gib} GB", Computer(vram=float(gib)), {}
    for gib in MACS_GIB:
        total = gib * GIB
        metal = Device("MTL0", "Apple M1", "gpu", int(total * METAL_PART), total)
        ram = ComputerMemory(total, total - MAC_USED_GIB * GIB)
        yield f"a Mac of {gib} GB", Computer((metal,), "auto", ram), {}
    yield "no card, 512 x 512", NO_CARD, CPU_SIDE


def _fits(computer: Computer, given: dict[str, int]) -> list[PresetFit]:
    return preset_fits(ModelStore(), computer, given)


def _best(fits: list[PresetFit], family: str) -> PresetFit | None:
    found = recommend([fit for fit in fits if fit.preset.startswith(family)])
    return None if found is None else found[0]


def place(plan: Plan) -> str:
    """Where it runs, in words."""
    if plan.budget_bytes is None:
        return "on the CPU"
    if plan.context.get("max_vram"):
        return "in segments"
    if plan.context.get("offload_params_to_cpu"):
        return "offloaded"
    return "text encoders on the CPU" if plan.placements["clip"] == "CPU" else "all on the card"


def ram_gib(plan: Plan) -> int:
    """What it takes of the computer's own memory."""
    peak = plan.host_peak_bytes if plan.shared_bytes is None else plan.shared_peak_bytes
    return math.ceil(peak / GIB)


if __name__ == "__main__":
    OUTPUT.write_text(render(OUTPUT.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {OUTPUT}")
