"""One CPU thread against all of them while other programs keep the computer busy.

    python benchmarks/busy_threads.py --json benchmarks/results/busy-threads.json

Two engines with the same small Flux of real width, one with one thread, are asked in turn, first as
the computer is, then with as many busy processes as it has cores, then with twice as many.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from machine import usable_cpus
from measured import Comparison, Figure, run_now
from pulid_sdcpp import ContextOptions, StableDiffusion
from pulid_sdcpp.engine.factory import load_engine
from pulid_sdcpp.planning.flux_time import SMALL_TOKENS, evaluation_inputs, small_context
from pulid_sdcpp.planning.random_models import small_flux, write_random_flux
from report import as_text


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many others that compute all the time."""
    program = [sys.executable, "-c", "while True: sum(range(100000))"]
    others = [subprocess.Popen(program) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds(engines: Sequence[StableDiffusion], turns: int) -> list[float]:
    """Medians of an evaluation, the engines in turn."""
    inputs = evaluation_inputs(SMALL_TOKENS)
    spent: list[list[float]] = [[] for _ in engines]
    for turn in range(turns + 1):
        for engine, found in zip(engines, spent, strict=True):
            started_s = time.perf_counter()
            engine.evaluate(*inputs)
            if turn:  # the first makes room
                found.append(time.perf_counter() - started_s)
    return [statistics.median(found) for found in spent]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    cores = usable_cpus()
    rows: list[tuple[str, tuple[float, float]]] = []
    with tempfile.TemporaryDirectory(prefix="pulid-benchmark-") as name:
        path = Path(name) / "flux.gguf"
        write_random_flux(path, small_flux(1, 2), "q4_k")
        context = ContextOptions(
            diffusion_model_path="f", clip_l_path="c", vae_path="v", backend="cpu"
        )
        engines = [
            load_engine(small_context(context, path, n_threads=threads)) for threads in (1, cores)
        ]
    for others in (0, cores, 2 * cores):
        with busy_processes(others):
            one, all_of_them = seconds(engines, options.turns)
        rows.append((f"{others} more busy processes", (one, all_of_them)))
        print(rows[-1], file=sys.stderr)
    for engine in engines:
        engine.close()
    found = run_now(
        "busy_threads",
        "One thread and several on a busy computer",
        [
            Figure(f"{cores} threads against one, {label}", several / one, "ratio")
            for label, (one, several) in rows
        ],
        [
            Comparison(
                "An evaluation of 1 double and 2 single blocks, Q4_K, 256x256, wall time",
                "s",
                ("1 thread", f"{cores} threads"),
                tuple(rows),
                note=f"Medians of {options.turns} turns.",
            )
        ],
    )
    print(as_text(found))
    if options.json is not None:
        found.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
