"""How long it takes to have an identity's layers, folded or from the disk, and in how much memory.

    python benchmarks/folding.py
    python benchmarks/folding.py --dtype f16 --repeats 9 --json benchmarks/results/folding.json

Makes PuLID's 20 attention layers at their published sizes with random numbers (bf16, 840 MB) in a
temporary folder, which is removed afterwards. Each measurement is a fresh process, the ways take
turns, and the median counts:

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import load_average, peak_mb, resident_mb, usable_cpus
from measured import Comparison, Figure, run_now
from pulid_sdcpp import Identity
from pulid_sdcpp.families.flux.folding import FOLD_DTYPES, fold
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.folding.cache import FoldingCache
from pulid_sdcpp.folding.folded_file import FoldedLayout
from real_width_models import FULL_SHAPE, identity_files, pulid_weights

WAYS = ("folded", "first use", "from disk")
FOLDED_AT_MOST_S = 2.0
FROM_DISK_AT_MOST_S = 0.060
EXTRA_AT_MOST_MB = 300.0
CACHE_LIMIT_BYTES = 1 << 30

Results = Mapping[tuple[str, str], Mapping[str, float]]
"""Medians by dtype and way."""


def measure(
    weights_path: Path, identity: Path, cache: Path, dtype: Any, way: str
) -> dict[str, float]:
    """Have all layers once, in this process.

    Args:
        cache: The cache folder; emptied for "first use".
        dtype: One of FOLD_DTYPES.
        way: One of WAYS.
    """
    import gguf  # noqa: F401  # folding to Q8_0 would import it

    tokens = Identity.load(identity).tokens
    if way == "first use":
        for file in cache.glob("*"):
            file.unlink()
    with PulidWeights(weights_path) as weights:
        rows = weights.heads * len(tokens)
        layout = FoldedLayout(weights.n_layers, rows, weights.hidden_size, dtype)
        slot = [
            [np.ones(shape, kind) for kind, shape in layout.arrays()]
            for _ in range(layout.n_layers)
        ]
        _forget_peak()
        anonymous = [resident_mb("RssAnon")]
        resident, wall, cpu = resident_mb("VmRSS"), time.perf_counter(), time.process_time()
        if way == "folded":
            layers = fold(weights, tokens, dtype)
        else:
            layers = FoldingCache(weights, CACHE_LIMIT_BYTES, cache).fold(tokens, dtype)
        for target, layer in zip(slot, layers, strict=True):
            for array, given in zip(target, (layer.bias, layer.a, layer.b), strict=True):
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


def measure_in_turn(folder: Path, dtypes: Sequence[str], repeats: int) -> Results:
    """Medians of `repeats` processes for each dtype and way.

    Raises:
        RuntimeError: The layers from the disk are not those that were folded.
    """
    print("making random weights", file=sys.stderr)
    weights, (identity,) = pulid_weights(folder, FULL_SHAPE), identity_files(folder, ["alice"])
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(repeats):
        for dtype in dtypes:
            cache = folder / f"cache-{dtype}"
            for way in WAYS:
                paths = [str(path) for path in (weights, identity, cache)]
                command = [sys.executable, __file__, "--measure", *paths, dtype, way]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found.setdefault((dtype, way), []).append(json.loads(done.stdout))
            if len({found[dtype, way][-1]["crc"] for way in WAYS}) > 1:
                raise RuntimeError(f"{dtype}: the layers from the disk differ from those folded")
    return {
        which: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for which, runs in found.items()
    }


def figures(results: Results) -> list[Figure]:
    """What was measured, with the targets of F16."""
    listed = []
    for dtype in dict.fromkeys(dtype for dtype, _ in results):
        folded, found = results[dtype, "folded"], results[dtype, "from disk"]
        fold_s, found_s, extra_mb = (
            (FOLDED_AT_MOST_S, FROM_DISK_AT_MOST_S, EXTRA_AT_MOST_MB)
            if dtype == "f16"
            else (None, None, None)
        )
        anonymous = f"{folded['anonymous_mb']:.0f} MB of it anonymous"
        cpu = f"{folded['cpu_s']:.2f} s of CPU"
        listed += [
            Figure(f"folding an identity, {dtype}", folded["s"], "s", fold_s, cpu),
            Figure(
                f"folding, extra memory, {dtype}", folded["extra_mb"], "MB", extra_mb, anonymous
            ),
            Figure(f"folded identity from the disk, {dtype}", found["s"], "s", found_s),
            Figure(
                f"first use of an identity, {dtype}",
                results[dtype, "first use"]["s"],
                "s",
                note="hashing the weights and writing the cache included",
            ),
        ]
    return listed


def comparison(results: Results) -> Comparison:
    """Seconds of each way, by dtype."""
    dtypes = tuple(dict.fromkeys(dtype for dtype, _ in results))
    rows = tuple((way, tuple(results[dtype, way]["s"] for dtype in dtypes)) for way in WAYS)
    return Comparison("Having an identity's layers", "s", dtypes, rows, drawn=True, ratio=False)


def print_table(results: Results) -> None:
    print(f"\n{'':<6}{'':<11}{'wall':>9}{'CPU':>9}{'extra':>10}{'anonymous':>12}")
    for (dtype, way), one in results.items():
        print(
            f"{dtype:<6}{way:<11}{one['s']:7.3f} s{one['cpu_s']:7.3f} s"
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
        "--dtype",
        choices=FOLD_DTYPES,
        action="append",
        help="may be given several times; not given: f16 and q8_0",
    )
    arguments.add_argument("--repeats", type=int, default=5, help="of each (default: 5)")
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="pulid-folding-benchmark-") as temporary:
        results = measure_in_turn(
            Path(temporary), options.dtype or ["f16", "q8_0"], options.repeats
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
