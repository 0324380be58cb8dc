"""How long it takes to have an identity's layers, folded or from the disk, and in how much memory.

    python benchmarks/folding.py
    python benchmarks/folding.py --what f16 --repeats 9 --json benchmarks/results/folding.json

Makes PuLID's layers at their published sizes with random numbers in a temporary folder, which is
removed afterwards: 20 for Flux (bf16, 840 MB) and 70 for SDXL (F16, 682 MB). Each measurement is a
fresh process, the ways take turns, and the median counts:

    folded      from the weights file, nothing kept
    first use   with an empty cache: the weights hashed, the identity folded and written
    from disk   found in the cache, where everything is in the page cache already

Every layer is copied into memory that was there before, as the engine does. Seconds are of that,
without importing and opening; "extra" is how much resident memory grew meanwhile at most,
and "anonymous" is what of it cannot be given back, looked at after every layer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from machine import load_average, peak_mb, resident_mb, usable_cpus
from measured import Comparison, Figure, run_now
from pulid_sdcpp import Identity
from pulid_sdcpp.families.flux.folding import FOLD_DTYPES, fold
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.families.sdxl.folding import KEY_VALUE_DTYPES, fold_for_unet, slot_rows
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.folding.cache import FoldingCache
from pulid_sdcpp.folding.folded_layout import FileLayout, FoldedLayout, UnetFoldedLayout
from real_width_models import FULL_SHAPE, identity_files, pulid_weights, unet_pulid_weights

WAYS = ("folded", "first use", "from disk")
SDXL = "sdxl "
"""Before the element type of what is folded for SDXL; that for Flux has nothing before it."""
WHAT = (*FOLD_DTYPES, *(SDXL + dtype for dtype in KEY_VALUE_DTYPES))
CACHE_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Target:
    """The most that having an identity's layers may take."""

    folded_s: float | None = None
    from_disk_s: float | None = None
    extra_mb: float | None = None


TARGETS = {"f16": Target(2.0, 0.060, 300.0), SDXL + "f16": Target(1.0, 0.050, 100.0)}

Results = Mapping[tuple[str, str], Mapping[str, float]]
"""Medians by what is folded and way."""


def measure(
    weights_path: Path, identity: Path, cache: Path, what: str, way: str
) -> dict[str, float]:
    """Have all layers once, in this process.

    Args:
        cache: The cache folder; emptied for "first use".
        what: One of WHAT.
        way: One of WAYS.
    """
    import gguf  # noqa: F401  # folding to Q8_0 would import it

    tokens = Identity.load(identity).tokens
    if way == "first use":
        for file in cache.glob("*"):
            file.unlink()
    dtype: Any = what.removeprefix(SDXL)
    weights: Any
    folded: Iterator[Any]
    layout: FileLayout[Any]
    if what.startswith(SDXL):
        weights = SdxlPulidWeights(weights_path)
        widths = tuple(weights.widths.values())
        layout = UnetFoldedLayout(widths, slot_rows(len(tokens)), dtype)
        folded = fold_for_unet(weights, tokens, dtype)
    else:
        weights = PulidWeights(weights_path)
        rows = weights.heads * len(tokens)
        layout = FoldedLayout(weights.n_layers, rows, weights.hidden_size, dtype)
        folded = fold(weights, tokens, dtype)
    with weights:
        slot = [
            [np.ones(shape, kind) for kind, shape in layout.arrays(index)]
            for index in range(layout.n_layers)
        ]
        _forget_peak()
        anonymous = [resident_mb("RssAnon")]
        resident, wall, cpu = resident_mb("VmRSS"), time.perf_counter(), time.process_time()
        if way != "folded":
            folded = FoldingCache(weights, CACHE_LIMIT_BYTES, cache).fold(tokens, dtype)
        for target, layer in zip(slot, folded, strict=True):
            for array, given in zip(target, layout.parts(layer), strict=True):
                np.copyto(array, given)
            anonymous.append(resident_mb("RssAnon"))
        return {
            "s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "extra_mb": max(0.0, peak_mb() - resident),
            "anonymous_mb": max(anonymous) - anonymous[0],
            "crc": zlib.crc32(b"".join(array.tobytes() for part in slot for array in part)),
        }


def _forget_peak() -> None:
    """Let the greatest resident memory be counted from now; on Linux, elsewhere from the start."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measure_in_turn(folder: Path, what: Sequence[str], repeats: int) -> Results:
    """Medians of `repeats` processes for each of `what` and each way.

    Raises:
        RuntimeError: The layers from the disk are not those that were folded.
    """
    print("making random weights", file=sys.stderr)
    (identity,) = identity_files(folder, ["alice"])
    weights = {
        one: unet_pulid_weights(folder)
        if one.startswith(SDXL)
        else pulid_weights(folder, FULL_SHAPE)
        for one in what
    }
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(repeats):
        for one in what:
            cache = folder / f"cache-{one}"
            for way in WAYS:
                paths = [str(path) for path in (weights[one], identity, cache)]
                command = [sys.executable, __file__, "--measure", *paths, one, way]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found.setdefault((one, way), []).append(json.loads(done.stdout))
            if len({found[one, way][-1]["crc"] for way in WAYS}) > 1:
                raise RuntimeError(f"{one}: the layers from the disk differ from those folded")
    return {
        which: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for which, runs in found.items()
    }


def figures(results: Results) -> list[Figure]:
    """What was measured, with the targets of F16."""
    listed = []
    for what in dict.fromkeys(what for what, _ in results):
        folded, found = results[what, "folded"], results[what, "from disk"]
        target = TARGETS.get(what, Target())
        anonymous = f"{folded['anonymous_mb']:.0f} MB of it anonymous"
        cpu = f"{folded['cpu_s']:.2f} s of CPU"
        listed += [
            Figure(f"folding an identity, {what}", folded["s"], "s", target.folded_s, cpu),
            Figure(
                f"folding, extra memory, {what}",
                folded["extra_mb"],
                "MB",
                target.extra_mb,
                anonymous,
            ),
            Figure(f"folded identity from the disk, {what}", found["s"], "s", target.from_disk_s),
            Figure(
                f"first use of an identity, {what}",
                results[what, "first use"]["s"],
                "s",
                note="hashing the weights and writing the cache included",
            ),
        ]
    return listed


def comparison(results: Results) -> Comparison:
    """Seconds of each way, by what is folded."""
    series = tuple(dict.fromkeys(what for what, _ in results))
    rows = tuple((way, tuple(results[what, way]["s"] for what in series)) for way in WAYS)
    return Comparison("Having an identity's layers", "s", series, rows, drawn=True, ratio=False)


def print_table(results: Results) -> None:
    print(f"\n{'':<10}{'':<11}{'wall':>9}{'CPU':>9}{'extra':>10}{'anonymous':>12}")
    for (what, way), one in results.items():
        print(
            f"{what:<10}{way:<11}{one['s']:7.3f} s{one['cpu_s']:7.3f} s"
            f"{one['extra_mb']:7.0f} MB{one['anonymous_mb']:9.0f} MB"
        )


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        weights, identity, cache = map(Path, sys.argv[2:5])
        print(json.dumps(measure(weights, identity, cache, *sys.argv[5:])))
        return
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument(
        "--what",
        choices=WHAT,
        action="append",
        help="may be given several times; not given: f16, q8_0 and sdxl f16",
    )
    arguments.add_argument("--repeats", type=int, default=5, help="of each (default: 5)")
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="pulid-folding-benchmark-") as temporary:
        results = measure_in_turn(
            Path(temporary), options.what or ["f16", "q8_0", "sdxl f16"], options.repeats
        )
    load = f", load average {load_average()}" if load_average() else ""
    print(f"{usable_cpus()} of {os.cpu_count()} cores{load}, medians of {options.repeats}")
    print_table(results)
    if options.json is not None:
        run_now(
            "folding",
            "Folding an identity",
            figures(results),
            [comparison(results)],
            repeats=str(options.repeats),
        ).save(options.json)


if __name__ == "__main__":
    main()
