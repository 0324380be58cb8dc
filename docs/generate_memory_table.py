"""Write the tables of memory with the planner itself; a test compares them with the pages.

python docs/generate_memory_table.py
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pulid_sdcpp.memory.measures import CONTEXT_BYTES, GIB, choose_measures, least_budget
from pulid_sdcpp.memory.model import Measures, Phase, PictureSizes, device_peak, phases
from pulid_sdcpp.memory.parameters import ModelSizes, row_bytes
from pulid_sdcpp.store.registry import Registry, load_registry
from pulid_sdcpp.system.user_config import UserConfig

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
PRESET_TYPES = {"q4": "q4_0", "q5": "q5_k", "q6": "q6_k", "q8": "q8_0"}
"""How the names of presets end, and what their Flux is in; q4_k takes as much as q4_0."""
CARDS_GIB = (4, 6, 8, 10, 12, 16, 24)
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
    """Cards and the presets of each Flux size: what is done, and how much RAM it takes."""
    registry = load_registry(UserConfig(Path("none")))  # the package's own
    largest: dict[str, str] = {}  # of the presets of each type
    for name in registry.presets:
        kind = name.rpartition("-")[2]
        if kind in PRESET_TYPES and _bytes(registry, name) > _bytes(registry, largest.get(kind)):
            largest[kind] = name
    models = {kind: _preset_sizes(registry, largest[kind]) for kind in PRESET_TYPES}
    lines = [
        "| card | " + " | ".join(f"`-{kind}` | RAM" for kind in models) + " |",
        "| --- |" + " --- | --- |" * len(models),
    ]
    picture = PictureSizes(SIZES[0], SIZES[0], identities=1)
    for gib in CARDS_GIB:
        cells = [_in_words(sizes, picture, gib) for sizes in models.values()]
        lines.append(f"| {gib} GiB | " + " | ".join(cells) + " |")
    picture, on_cpu = replace(picture, width=SIZES[1], height=SIZES[1]), Measures(True)
    ram = [_ram_gib(phases(sizes, picture, on_cpu, on_cpu=True)) for sizes in models.values()]
    lines.append("| none | " + " | ".join(f"on the CPU | {one} GiB" for one in ram) + " |")
    return "\n".join(lines)


def _preset_sizes(registry: Registry, name: str) -> ModelSizes:
    files = registry.files_of(registry.preset(name))
    dtype = PRESET_TYPES[name.rpartition("-")[2]]
    t5 = files["t5xxl"].shown_bytes
    segment = PUBLISHED.t5_segment * t5 // PUBLISHED.t5
    return replace(_flux_in(dtype), t5=t5, t5_segment=segment)


def _bytes(registry: Registry, name: str | None) -> int:
    """What a preset's files take; 0 of None."""
    if name is None:
        return 0
    return sum(file.shown_bytes for file in registry.files_of(registry.preset(name)).values())


def _in_words(models: ModelSizes, picture: PictureSizes, gib: int) -> str:
    measures = choose_measures(models, picture, gib * GIB)
    if measures is None:
        return "no | "
    if measures.segment_bytes:
        what = "in segments"
    elif measures.offload:
        what = "offloaded"
    else:
        what = "text encoders on the CPU" if measures.text_on_cpu else "all on the card"
    return f"{what} | {_ram_gib(phases(models, picture, measures))} GiB"


def _ram_gib(found: Sequence[Phase]) -> int:
    return math.ceil(max(phase.host_bytes for phase in found) / GIB)


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
