"""Making pictures: this project's engine against the stock binding's, and what PuLID costs.

    python benchmarks/generation.py --json benchmarks/results/generation.json

Needs this project installed with its engine. The stock package, stable-diffusion-cpp-python 0.4.7
from PyPI, is compiled in a venv of its own (some minutes, once). Models are random, of the
real layer width but of few blocks (see real_width_models.py; 11 GB of disk with T5, 4 GB without).
--full makes all 19 and 38 blocks (35 GB of disk, 14 GB of memory).

The same weights, prompt, seed, sampler, schedule and threads go to both, with the defaults of
each for the rest; they take turns, every run is a fresh process, and ratios are medians of ours
by stock, turn by turn. The pictures of both are compared, and must agree. Seconds of wall and CPU
time are taken in the progress callback: a step is the median of all but the first, which
allocates buffers; the text encoder is everything before the first step. What PuLID adds is
measured by evaluating the model with and without an identity in turn, on one loaded engine. Run
it on a quiet machine: the load average is noted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation_figures import (
    PICTURE_UNIT,
    attention_report,
    denoising_report,
    identity_report,
    text_report,
)
from machine import usable_cpus
from measured import Comparison, Figure, run_now
from pulid_sdcpp import engine_info
from real_width_models import (
    FULL_SHAPE,
    HIDDEN,
    SHORT_SHAPE,
    flux_model,
    identity_files,
    pulid_weights,
    small_models,
    t5_model,
)
from report import as_text
from side_by_side import Pair, read_once, run_in_turn, run_worker
from standins import FluxShape
from stock_venv import DEFAULT_FOLDER, REQUIREMENT, stock_python

PARTS = ("denoising", "text", "identity", "attention")
PROMPT = "candid photograph of a woman on a beach at sunset, 35 mm, soft light"
SEED = 42
TEXT_SIZE_PX = 64
Report = tuple[list[Figure], list[Comparison]]


@dataclass(frozen=True)
class Setting:
    """What is measured, and where its files are."""

    shape: FluxShape
    quantizations: tuple[str, ...]
    text_types: tuple[str, ...]
    sizes_px: tuple[int, ...]
    identity_sizes_px: tuple[int, ...]
    steps: int
    repeats: int
    text_repeats: int
    pairs: int
    threads: int
    models: Path
    pythons: dict[str, Path]

    def load_arguments(self, diffusion_model: Path) -> dict[str, Any]:
        small = small_models(self.models)
        return {
            "diffusion_model_path": str(diffusion_model),
            "clip_l_path": str(small["clip_l"]),
            "taesd_path": str(small["taesd"]),
            "vae_decode_only": True,
            "n_threads": self.threads,
        }


def denoising(setting: Setting) -> Report:
    """Steps of each quantization, without an identity."""
    pairs: dict[tuple[str, int], Pair] = {}
    for size_px in setting.sizes_px:
        for quantization in setting.quantizations:
            note(f"denoising, {quantization}, {size_px}x{size_px}")
            model = flux_model(setting.models, setting.shape, quantization)
            pairs[quantization, size_px] = run_in_turn(
                setting.pythons,
                setting.load_arguments(model),
                generation(size_px, setting.steps),
                setting.repeats,
            )
    return denoising_report(pairs, has_targets=setting.shape.hidden == HIDDEN)


def text(setting: Setting) -> Report:
    """T5 alone, beside a Flux too small to matter."""
    pairs = {}
    for dtype in setting.text_types:
        note(f"text encoder, {dtype}")
        load = setting.load_arguments(small_models(setting.models)["flux"])
        del load["clip_l_path"]
        load["t5xxl_path"] = str(t5_model(setting.models, dtype))
        pairs[dtype] = run_in_turn(
            setting.pythons, load, generation(TEXT_SIZE_PX, 1), setting.text_repeats
        )
    return text_report(pairs)


def identity(setting: Setting) -> Report:
    """What an identity costs: per step, in memory, to load, to switch."""
    note("identity")
    model = flux_model(setting.models, setting.shape, setting.quantizations[0])
    load = setting.load_arguments(model)
    load["pulid_weights"] = str(pulid_weights(setting.models, setting.shape))
    for name in ("diffusion_model_path", "pulid_weights"):
        read_once(Path(load[name]))
    task = {
        "load": load,
        "identities": [str(path) for path in identity_files(setting.models)],
        "sizes_px": setting.identity_sizes_px,
        "pairs": setting.pairs,
    }
    with tempfile.TemporaryDirectory(prefix="pulid-benchmark-cache-") as cache:
        # Empty at first, filled when the second process comes.
        environment = {**os.environ, "PULID_SDCPP_CACHE": cache}
        found, again = (
            run_worker(
                Path(sys.executable),
                "identity_worker.py",
                {**task, "switches_only": only},
                environment,
            )
            for only in (False, True)
        )
    return identity_report(
        found,
        again["switches_s"],
        setting.shape,
        setting.quantizations[0],
        has_targets=setting.shape.hidden == HIDDEN,
    )


def attention(setting: Setting) -> Report:
    """One attention layer as defined and as folded, at the published sizes."""
    note("attention layer in NumPy")
    tokens = {size_px: (size_px // 16) ** 2 for size_px in setting.identity_sizes_px}
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    found = run_worker(
        Path(sys.executable),
        "unfolded_attention.py",
        {"image_tokens": list(tokens.values())},
        {**os.environ, **dict.fromkeys(names, str(setting.threads))},
    )
    return attention_report({size: found[str(count)] for size, count in tokens.items()})


def generation(size_px: int, steps: int) -> dict[str, Any]:
    """Arguments of `generate_image`, the same for both engines."""
    return {
        "prompt": PROMPT,
        "width": size_px,
        "height": size_px,
        "sample_steps": steps,
        "cfg_scale": 1.0,
        "sample_method": "euler",
        "scheduler": "discrete",  # stock's default for Flux; ours is another
        "seed": SEED,
    }


def check_pictures(figures: Sequence[Figure]) -> None:
    """End with an error where the two engines made different pictures."""
    for figure in figures:
        if figure.unit == PICTURE_UNIT and not figure.met:
            sys.exit(f"the engines do not make the same picture: {figure.what} {figure.value:.1f}")


def note(words: str) -> None:
    print(f"== {words}", file=sys.stderr, flush=True)


def main() -> None:
    options = read_options()
    depth = FULL_SHAPE if options.full else SHORT_SHAPE
    shape = FluxShape(depth.depth, depth.depth_single, options.hidden, guidance_embed=options.dev)
    parts = options.part or list(PARTS)
    pythons = {"ours": Path(sys.executable)}
    if not options.no_stock and {"denoising", "text"} & set(parts):
        pythons["stock"] = stock_python(options.stock_venv, options.stock_cmake_args)
    setting = Setting(
        shape=shape,
        quantizations=tuple(options.type or ("q4_0", "q4_k", "q8_0")),
        text_types=tuple(options.t5_type or ("q4_0", "q8_0")),
        sizes_px=tuple(options.size or (256,)),
        identity_sizes_px=tuple(options.identity_size or (256, 512)),
        steps=options.steps,
        repeats=options.repeats,
        text_repeats=options.text_repeats,
        pairs=options.pairs,
        threads=options.threads,
        models=options.models_dir,
        pythons=pythons,
    )
    measures = {"denoising": denoising, "text": text, "identity": identity, "attention": attention}
    figures: list[Figure] = []
    comparisons: list[Comparison] = []
    for part in parts:
        more_figures, more_comparisons = measures[part](setting)
        figures += more_figures
        comparisons += more_comparisons
    info = engine_info()
    found = run_now(
        "generation",
        "Making pictures" + ("" if len(parts) == len(PARTS) else f": {', '.join(parts)}"),
        figures,
        comparisons,
        **{
            "threads": str(setting.threads),
            "model": f"{shape.depth} + {shape.depth_single} blocks of width {shape.hidden}",
            "stock": REQUIREMENT,
            "our engine": f"{info.engine}, {info.compiler}",
        },
    )
    if options.json is not None:
        found.save(options.json)
    print(as_text(found))
    check_pictures(figures)


def read_options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    several = "several times; not given: "
    arguments.add_argument("--part", choices=PARTS, action="append", help=several + "all")
    arguments.add_argument(
        "--type",
        choices=["f16", "q4_0", "q4_k", "q8_0"],
        action="append",
        help="of Flux; " + several + "q4_0, q4_k, q8_0",
    )
    arguments.add_argument(
        "--t5-type",
        choices=["f16", "q4_0", "q4_k", "q8_0"],
        action="append",
        help="of T5; " + several + "q4_0, q8_0",
    )
    arguments.add_argument(
        "--size",
        type=int,
        action="append",
        metavar="PX",
        help="side of a picture for denoising; " + several + "256",
    )
    arguments.add_argument(
        "--identity-size",
        type=int,
        action="append",
        metavar="PX",
        help="for PuLID's extra; " + several + "256, 512",
    )
    arguments.add_argument("--steps", type=int, default=2, help="of a run (default: 2)")
    arguments.add_argument("--repeats", type=int, default=3, help="turns (default: 3)")
    arguments.add_argument("--text-repeats", type=int, default=1, help="turns (default: 1)")
    arguments.add_argument(
        "--pairs", type=int, default=10, help="evaluations with and without PuLID (default: 10)"
    )
    arguments.add_argument(
        "--threads",
        type=int,
        default=usable_cpus(),
        help="of both (default: every usable processor)",
    )
    arguments.add_argument("--dev", action="store_true", help="FLUX.1-dev; not given: schnell")
    arguments.add_argument("--full", action="store_true", help="19 + 38 blocks in place of 2 + 4")
    arguments.add_argument(
        "--hidden",
        type=int,
        default=HIDDEN,
        help="width; another than 3072 only tries the script out",
    )
    arguments.add_argument("--models-dir", type=Path, default=Path("build/benchmark-models"))
    arguments.add_argument("--stock-venv", type=Path, default=DEFAULT_FOLDER)
    arguments.add_argument(
        "--stock-cmake-args", default="", help='to compile it with, such as "-DSD_CUDA=ON"'
    )
    arguments.add_argument("--no-stock", action="store_true", help="measure ours alone")
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
