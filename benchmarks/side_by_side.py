"""The same generation by the stock engine and by ours, in turn, each time in a fresh process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from machine import DeviceMemory

__all__ = ["ENGINES", "Pair", "Run", "read_once", "run_in_turn", "run_worker"]

ENGINES = ("stock", "ours")
_LOG_LINES = 15


@dataclass(frozen=True)
class Run:
    """One generation, as generation_worker.py measured it; seconds are of wall or CPU time."""

    load_s: float
    load_cpu_s: float
    encode_s: float
    encode_cpu_s: float
    step_s: list[float]
    step_cpu_s: list[float]
    decode_s: float
    loaded_mb: float
    steady_mb: float
    peak_mb: float
    device_mb: float

    def per_step(self, clock: str) -> float:
        """Seconds of a step, the median of all but the first, which allocates buffers.

        Args:
            clock: "s" or "cpu_s".
        """
        steps: list[float] = getattr(self, f"step_{clock}")
        return statistics.median(steps[1:] or steps)


@dataclass(frozen=True)
class Pair:
    """What the two engines needed, run by run.

    Attributes:
        runs: By engine; the same number of each, in the order in which they took turns.
        difference: Mean absolute difference of the two pictures, of 255.
    """

    runs: dict[str, list[Run]]
    difference: float

    def median(self, engine: str, number: Callable[[Run], float]) -> float | None:
        """Of all runs of `engine`; None when it did not run."""
        values = [number(run) for run in self.runs.get(engine, ())]
        return statistics.median(values) if values else None

    def both(self, number: Callable[[Run], float]) -> tuple[float | None, ...]:
        """The medians of both engines, in the order of `ENGINES`."""
        return tuple(self.median(engine, number) for engine in ENGINES)

    def ratios(self, number: Callable[[Run], float]) -> list[float]:
        """Ours by stock, turn by turn: what disturbs one turn disturbs both."""
        turns = zip(self.runs.get("ours", ()), self.runs.get("stock", ()), strict=False)
        return [number(ours) / number(stock) for ours, stock in turns]


def run_in_turn(
    pythons: dict[str, Path], load: dict[str, Any], generate: dict[str, Any], repeats: int
) -> Pair:
    """Let the engines take turns.

    Args:
        pythons: Interpreter by engine; the stock one may be left out.
        load: Arguments of `StableDiffusion`, the same for both.
        generate: Arguments of `generate_image`.

    Raises:
        RuntimeError: A process failed; with the end of what it wrote.
    """
    for name, value in load.items():
        if name.endswith("_path"):
            read_once(Path(value))
    runs: dict[str, list[Run]] = {engine: [] for engine in ENGINES if engine in pythons}
    pictures = {}
    with tempfile.TemporaryDirectory(prefix="pulid-benchmark-") as temporary:
        pixels = Path(temporary, "pixels")
        for _ in range(repeats):
            for engine, measured in runs.items():
                task = {"engine": engine, "load": load, "generate": generate}
                with DeviceMemory() as device:
                    result = run_worker(
                        pythons[engine], "generation_worker.py", {**task, "pixels": str(pixels)}
                    )
                fields = {name: result[name] for name in Run.__annotations__ if name in result}
                measured.append(Run(**fields, device_mb=device.peak_mb))
                pictures[engine] = np.fromfile(pixels, np.uint8).astype(np.int16)
    difference = 0.0
    if len(pictures) == len(ENGINES):
        difference = float(np.abs(pictures["ours"] - pictures["stock"]).mean())
    return Pair(runs, difference)


def run_worker(
    python: Path,
    script: str,
    task: dict[str, Any],
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run a script of this folder with `task` as its argument.

    Returns:
        What it wrote to the file that the task's "result" names.

    Raises:
        RuntimeError: It failed; with the end of what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="pulid-benchmark-") as temporary:
        result, log = Path(temporary, "result.json"), Path(temporary, "log")
        argument = json.dumps({**task, "result": str(result)})
        command: Sequence[str] = [str(python), str(Path(__file__).with_name(script)), argument]
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment or None
            )
        if done.returncode or not result.is_file():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(lines[-_LOG_LINES:])
            raise RuntimeError(f"{script} ended with status {done.returncode}:\n{end}")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


def read_once(path: Path) -> None:
    """Bring a file into the page cache, so that no run pays for the disk."""
    print(f"reading {path}", file=sys.stderr)
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
