"""Write the tables of memory with the planner itself; a test compares them with the pages.

python docs/generate_memory_table.py
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from pulid_sdcpp.memory.measures import CONTEXT_BYTES, GIB, choose_measures, least_budget
from pulid_sdcpp.memory.model import Measures, PictureSizes, device_peak, phases
from pulid_sdcpp.memory.parameters import ModelSizes, row_bytes
from pulid_sdcpp.planning.preset_fit import Computer, preset_fits
from pulid_sdcpp.store.model_store import ModelStore

sys.path.insert(0, str(Path(__file__).parent))
from generate_computers_table import (
    CARDS_GIB,
    CPU_SIDE,
    NO_CARD,
    place,
    ram_gib,
)

sys.path.remove(str(Path(__file__).parent))

__all__ = ["OUTPUT", "PRESETS_OUTPUT", "PUBLISHED", "render", "render_presets"]

OUTPUT = Path(__file__).with_name("memory.md")
PRESETS_OUTPUT = Path(__file__).with_name("models.md")
HIDDEN, DOUBLE, SINGLE = 3072, 19, 38
# Matrices of a double block (modulation, q, k, v, projection, MLP; twice) and of a single one.
DOUBLE_ELEMENTS, SINGLE_ELEMENTS = 36 * HIDDEN**2, 15 * HIDDEN**2
OUTSIDE_BLOCKS_BYTES = 144_000_000
"""Embedders and the last layer, which published files keep in F16, and all biases."""
PUBLISHED = ModelSizes(
    hidden=HIDDEN,
    diffusion=0,
    diffusion_segment=0,
    largest_matrix=7 * HIDDEN**2,
    identity=125_900_000,
    identity_rows=512,
    clip=246_500_000,
    t5=9_525_000_000,
    t5_segment=385_900_000,
    decoder=99_200_000,
    encoder=0,
    decoder_channels=128,
    tiny=False,
)
TYPES = ("q8_0", "q6_k", "q5_k", "q4_0", "q3_k", "q2_k")
PRESET_KINDS = ("q4", "q5", "q6", "q8")
"""How the names of presets end."""
SIZES = (1024, 512)


def render(page: str) -> str:
    """The page of memory with its tables made anew."""
    for side in SIZES:
        page = _put(page, str(side), _table(side))
    return page


def render_presets(page: str) -> str:
    """The page of models with its table made anew."""
    return _put(page, "presets", _presets_table())


def _put(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    old = re.search(f"{begin}.*?{end}", page, re.DOTALL)
    if old is None:
        raise SystemExit(f"a page has no place for its table {name}")
    return page.replace(old[0], f"{begin}{table}\n{end}")


def _presets_table() -> str:
    """Cards and the presets of dev in each type: where they run, and how much RAM it takes."""
    lines = [
        "| card | " + " | ".join(f"`-{kind}` | RAM" for kind in PRESET_KINDS) + " |",
        "| --- |" + " --- | --- |" * len(PRESET_KINDS),
    ]
    for gib in CARDS_GIB:
        lines.append(_preset_cells(f"{gib} GiB", Computer(vram=float(gib)), {}))
    lines.append(_preset_cells("none", NO_CARD, CPU_SIDE))
    return "\n".join(lines)


def _preset_cells(card: str, computer: Computer, given: dict[str, int]) -> str:
    plans = {fit.preset: fit.plan for fit in preset_fits(ModelStore(), computer, given)}
    cells = [card]
    for kind in PRESET_KINDS:
        plan = plans[f"flux-dev-{kind}"]
        cells += ["no", ""] if plan is None else [place(plan), f"{ram_gib(plan)} GiB"]
    return "| " + " | ".join(cells) + " |"


def _table(side: int) -> str:
    lines = [
        "| Flux in | " + " | ".join(f"{gib} GiB" for gib in CARDS_GIB) + " | the least |",
        "| --- |" + " --- |" * (len(CARDS_GIB) + 1),
    ]
    picture = PictureSizes(side, side, identities=1)
    for dtype in TYPES:
        models = _flux_in(dtype)
        cells = [_cell(models, picture, gib) for gib in CARDS_GIB]
        least = least_budget(models, picture) / GIB
        name = f"{dtype.upper()}, {models.diffusion / 1e9:.1f} GB"
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {least:.1f} GiB |")
    return "\n".join(lines)


def _cell(models: ModelSizes, picture: PictureSizes, gib: int) -> str:
    measures = choose_measures(models, picture, gib * GIB)
    if measures is None:
        return "no"
    peak = (device_peak(phases(models, picture, measures)) + CONTEXT_BYTES) / GIB
    return f"{_letters(measures)} ({peak:.1f})".strip()


def _letters(measures: Measures) -> str:
    taken = (
        ("T", measures.tile is not None),
        ("C", measures.text_on_cpu),
        ("O", measures.offload),
        ("S", measures.segment_bytes > 0),
        ("V", measures.vae_on_cpu),
    )
    return "".join(letter for letter, is_taken in taken if is_taken)


def _flux_in(dtype: str) -> ModelSizes:
    double, single = row_bytes(dtype, DOUBLE_ELEMENTS), row_bytes(dtype, SINGLE_ELEMENTS)
    total = DOUBLE * double + SINGLE * single + OUTSIDE_BLOCKS_BYTES
    return replace(PUBLISHED, diffusion=total, diffusion_segment=double)


if __name__ == "__main__":
    for path, make in ((OUTPUT, render), (PRESETS_OUTPUT, render_presets)):
        path.write_text(make(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {path}")
