"""What an identity costs our engine, measured in a process of its own.

Started by generation.py with one JSON argument:

    load        arguments of StableDiffusion, with pulid_weights
    identities  two identity files
    sizes_px    sides of pictures to evaluate the model at
    pairs       evaluations with and without the identity at each size
    switches_only   nothing but the switches
    result      file to write the measurements to, JSON
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pulid_sdcpp import Identity, StableDiffusion

LATENT_CHANNELS = 16
PIXELS_PER_LATENT = 8
CONTEXT = (256, 4096)
"""Tokens of a prompt and their width, as T5 makes them for Flux."""
POOLED_WIDTH = 768
SMALL_PX = 16
SHORT_CONTEXT_TOKENS = 1
"""The least that can be evaluated, where only the switch before it is of interest."""


def main() -> None:
    task = json.loads(sys.argv[1])
    load, people = task["load"], [Identity.load(path) for path in task["identities"]]
    result: dict[str, Any] = {}
    if task["switches_only"]:
        with StableDiffusion(**load) as engine:
            result["switches_s"] = switches(engine, people)
    else:
        plain = {name: value for name, value in load.items() if name != "pulid_weights"}
        with loaded(result, "plain", plain):
            pass
        with loaded(result, "q8_0", {**load, "pulid_dtype": "q8_0"}):
            pass
        with loaded(result, "f16", load) as engine:
            result["switches_s"] = switches(engine, people)
            result["extra"] = {
                str(size): alternating(
                    engine, people[0], evaluation_inputs(size, CONTEXT[0]), task["pairs"]
                )
                for size in task["sizes_px"]
            }
    Path(task["result"]).write_text(json.dumps(result), encoding="utf-8")


def loaded(result: dict[str, Any], name: str, load: dict[str, Any]) -> StableDiffusion:
    """A loaded engine; notes how long it took and what the diffusion model's parameters take."""
    started_s = time.perf_counter()
    engine = StableDiffusion(**load)
    result[f"load_{name}_s"] = time.perf_counter() - started_s
    result[f"params_{name}_bytes"] = engine.diffusion_params_bytes
    return engine


def switches(engine: StableDiffusion, people: list[Identity]) -> dict[str, float]:
    """Seconds that each change of identity takes on a live engine."""
    spent: list[float] = []
    slots = engine._identities
    assert slots is not None
    slots.use = timed(slots.use, spent)  # type: ignore[method-assign]
    inputs = evaluation_inputs(SMALL_PX, SHORT_CONTEXT_TOKENS)
    alice, bob = people
    for person in (alice, bob, alice, bob, alice, alice):
        engine.evaluate(*inputs, pulid_id_embedding=person)
    del slots.use
    return {
        "first": spent[0],
        "other": spent[1],
        "back": min(spent[2:5]),
        "same": spent[5],
    }


def alternating(
    engine: StableDiffusion, person: Identity, inputs: tuple[Any, ...], pairs: int
) -> dict[str, list[float]]:
    """Seconds of model evaluations, with the identity and without in turn.

    The order within a pair changes from pair to pair, so that neither always follows the other.
    """
    found: dict[str, list[float]] = {
        f"{which}_{clock}": [] for which in ("plain", "with") for clock in ("s", "cpu_s")
    }
    engine.evaluate(*inputs, pulid_id_embedding=person)  # allocates buffers for both
    for pair in range(pairs):
        order = ("plain", "with") if pair % 2 else ("with", "plain")
        for which in order:
            wall, cpu = time.perf_counter(), time.process_time()
            engine.evaluate(*inputs, pulid_id_embedding=person if which == "with" else None)
            found[f"{which}_s"].append(time.perf_counter() - wall)
            found[f"{which}_cpu_s"].append(time.process_time() - cpu)
    return found


def evaluation_inputs(size_px: int, context_tokens: int) -> tuple[Any, ...]:
    """Latent, timestep, context and pooled vector of a picture with sides of `size_px`."""
    side = size_px // PIXELS_PER_LATENT
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((LATENT_CHANNELS, side, side), np.float32)
    context = rng.standard_normal((context_tokens, CONTEXT[1]), np.float32)
    pooled = rng.standard_normal(POOLED_WIDTH, np.float32)
    return latent, 0.7, context, pooled


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        started_s = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent.append(time.perf_counter() - started_s)

    return run


if __name__ == "__main__":
    main()
