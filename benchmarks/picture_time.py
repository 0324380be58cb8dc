"""What `plan --measure` computes beside what larger models really take.

    python benchmarks/picture_time.py --json benchmarks/results/picture-time.json

Flux: a part of it is timed as `plan --measure` does, a model with six times as many blocks is
computed from that, and timed. T5: all its 24 layers are computed from matrices of its type, and
timed (random weights of the whole encoder, 2.7 GB in Q4_K). Decoding: from a small picture to a
larger one.

Processor time is compared besides wall time: that of one process hardly changes when others keep
the computer busy. No files are kept; 3 GB are needed for a while.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from machine import usable_cpus
from measured import Comparison, Figure, run_now
from pulid_sdcpp import ContextOptions, GenerationOptions, StableDiffusion
from pulid_sdcpp.engine.factory import load_engine
from pulid_sdcpp.memory.compute import T5_TOKENS
from pulid_sdcpp.model_files.text_encoder_shapes import T5_MACS_PER_TOKEN
from pulid_sdcpp.native.progress_event import ProgressEvent
from pulid_sdcpp.planning.flux_time import (
    evaluation_inputs,
    measure_flux,
    small_context,
    time_matrices,
)
from pulid_sdcpp.planning.random_models import (
    small_flux,
    write_random_autoencoder,
    write_random_flux,
)
from pulid_sdcpp.pocket.pack import pocket_files
from real_width_models import t5_model
from report import as_text

PROMPT = "candid photograph of a woman on a beach at sunset, 35 mm, soft light"
PARTS = ("flux", "text", "decoding")
NOTE = "On a computer that others keep busy (load average), only processor times can be compared."
Row = tuple[str, tuple[float, float]]
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "CPU": time.process_time}


def flux_rows(
    context: ContextOptions, dtype: str, size_px: int, blocks: int, folder: Path
) -> list[Row]:
    """Seconds of an evaluation of `blocks` double and twice as many single blocks."""
    tokens = (size_px // 16) ** 2
    computed = {
        name: measure_flux(
            *(context, dtype, tokens, folder), with_identity=False, load=load_engine, clock=clock
        ).of_parts(blocks)
        for name, clock in CLOCKS.items()
    }
    path = folder / "flux.gguf"
    write_random_flux(path, small_flux(blocks, 2 * blocks), dtype)
    least = dict.fromkeys(CLOCKS, float("inf"))
    with load_engine(small_context(context, path)) as engine:
        path.unlink()
        for _ in range(3):
            started = {name: clock() for name, clock in CLOCKS.items()}
            engine.evaluate(*evaluation_inputs(tokens))
            for name, clock in CLOCKS.items():
                least[name] = min(least[name], clock() - started[name])
    title = f"Flux of {blocks} + {2 * blocks} blocks, {dtype}, {size_px}x{size_px}"
    return [(f"{title}, {name}", (computed[name], least[name])) for name in CLOCKS]


def text_rows(context: ContextOptions, dtype: str, folder: Path) -> list[Row]:
    """Seconds of encoding a prompt."""
    computed = {
        name: T5_MACS_PER_TOKEN
        * T5_TOKENS
        / time_matrices(context, dtype, folder, load=load_engine, clock=clock)
        for name, clock in CLOCKS.items()
    }
    model = t5_model(folder, dtype)
    loaded = small_context(context, pocket_files().diffusion_model, t5xxl_path=model)
    with load_engine(loaded) as engine:
        model.unlink()
        # Three prompts: the encoding of one is kept.
        least = _least_s(engine, [f"{PROMPT} {word}" for word in "abc"], 64, "encode", "denoise")
    return [(f"T5-XXL, {dtype}, {name}", (computed[name], least[name])) for name in CLOCKS]


def decoding_rows(context: ContextOptions, size_px: int, folder: Path) -> list[Row]:
    """Seconds of decoding, computed from a picture of 64 x 64."""
    path = folder / "ae.safetensors"
    write_random_autoencoder(path)
    paths = {"vae_path": path, "taesd_path": None}
    with load_engine(small_context(context, pocket_files().diffusion_model, **paths)) as engine:
        small, large = (
            _least_s(engine, [PROMPT] * 2, side_px, "decode", "") for side_px in (64, size_px)
        )
    return [
        (f"decoding {size_px}x{size_px}, {name}", (small[name] * size_px**2 / 64**2, large[name]))
        for name in CLOCKS
    ]


def _least_s(
    engine: StableDiffusion, prompts: Sequence[str], size_px: int, stage: str, following: str
) -> dict[str, float]:
    """The least that a stage takes, by clock."""
    least = dict.fromkeys(CLOCKS, float("inf"))
    for prompt in prompts:
        marks: dict[str, dict[str, float]] = {}

        def mark(event: ProgressEvent, marks: dict[str, dict[str, float]] = marks) -> None:
            marks.setdefault(event.stage, {name: clock() for name, clock in CLOCKS.items()})

        request = GenerationOptions(prompt, width=size_px, height=size_px, steps=1, seed=1)
        engine.generate(request, on_event=mark)
        ended = marks.get(following, {name: clock() for name, clock in CLOCKS.items()})
        for name in CLOCKS:
            least[name] = min(least[name], ended[name] - marks[stage][name])
    return least


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", default="cpu", help="a device that `pulid-sdcpp doctor` names")
    parser.add_argument("--type", default="q4_k", help="of Flux and T5 (default: q4_k)")
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument(
        "--blocks", type=int, default=6, help="double ones; 19 is a whole Flux (default: 6)"
    )
    parser.add_argument("--size", type=int, action="append", help="default: 256 and 512")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    context = ContextOptions(
        *("flux.gguf",), clip_l_path="c", vae_path="v", backend=options.backend,
        n_threads=options.threads,
    )  # fmt: skip
    parts = options.part or PARTS
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="pulid-benchmark-") as name:
        folder = Path(name)
        for size_px in options.size or (256, 512) if "flux" in parts else ():
            rows += flux_rows(context, options.type, size_px, options.blocks, folder)
        if "text" in parts:
            rows += text_rows(context, options.type, folder)
        if "decoding" in parts:
            rows += decoding_rows(context, 128, folder)
    ratios = {label: computed / real for label, (computed, real) in rows}
    found = run_now(
        "picture_time",
        "What plan --measure computes against longer runs",
        [
            Figure(f"computed against real, {label}", ratio, "ratio")
            for label, ratio in ratios.items()
        ],
        [Comparison("Computed and real", "s", ("computed", "real"), tuple(rows), note=NOTE)],
        threads=str(options.threads),
        device=options.backend,
    )
    print(as_text(found))
    if options.json is not None:
        found.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
