"""One generation by one engine in a process of its own, measured from inside.

Runs under the stock package's interpreter too, so nothing but the standard library is imported
beside the engine. Started by generation.py with one JSON argument:

    engine      "stock" or "ours"
    load        arguments of StableDiffusion
    generate    arguments of generate_image
    result      file to write the measurements to, JSON
    pixels      file to write the picture's bytes to
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from machine import peak_mb, resident_mb


def main() -> None:
    task = json.loads(sys.argv[1])
    marks: list[tuple[float, float]] = []

    def mark(*progress: Any) -> None:
        marks.append((time.perf_counter(), time.process_time()))

    mark()
    # A part of loading: one engine imports all at once, the other when it is made.
    if task["engine"] == "stock":
        from stable_diffusion_cpp import StableDiffusion
    else:
        from pulid_sdcpp import StableDiffusion
    # With messages, so that a failure says something; the stock binding moves the process's
    # streams about when there are to be none.
    engine = StableDiffusion(**task["load"], verbose=True)
    mark()
    loaded_mb = resident_mb("VmRSS")
    mark()
    # Called before the first step, and after each.
    pictures = engine.generate_image(**task["generate"], progress_callback=mark)
    mark()
    result = {
        **_stages(marks, task["generate"]["sample_steps"]),
        "loaded_mb": loaded_mb,
        "steady_mb": resident_mb("VmRSS"),
        "peak_mb": peak_mb(),
    }
    Path(task["pixels"]).write_bytes(pictures[0].convert("RGB").tobytes())
    Path(task["result"]).write_text(json.dumps(result), encoding="utf-8")


def _stages(marks: list[tuple[float, float]], steps: int) -> dict[str, Any]:
    """Wall and CPU seconds of loading, with imports, the prompt, each step and decoding."""
    # Load: from, to. Generate: from, before the first step, after each step, to.
    if len(marks) != 3 + 1 + steps + 1:
        raise RuntimeError(f"{len(marks)} marks for {steps} steps: progress is not what it was")
    names = ["load", "between", "encode", *["step"] * steps, "decode"]
    stages: dict[str, Any] = {"step_s": [], "step_cpu_s": []}
    for name, before, after in zip(names, marks, marks[1:], strict=False):
        for suffix, clock in (("s", 0), ("cpu_s", 1)):
            spent = after[clock] - before[clock]
            if name == "step":
                stages[f"step_{suffix}"].append(spent)
            else:
                stages[f"{name}_{suffix}"] = spent
    return stages


if __name__ == "__main__":
    main()
