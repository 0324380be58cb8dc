"""From what generation.py's workers measured to figures, with their targets, and tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from measured import Comparison, Figure
from pulid_sdcpp.families.flux.pulid_weights import positions
from side_by_side import Pair, Run
from standins import FluxShape

__all__ = [
    "PICTURE_UNIT",
    "attention_report",
    "denoising_report",
    "extra_time_figures",
    "identity_report",
    "text_report",
]

SERIES = ("stock", "pulid-sdcpp")
DENOISING_AT_MOST = {"q4_0": 0.38, "q4_k": 0.52, "q8_0": 0.46}
TEXT_AT_MOST = {"q4_0": 0.5, "q8_0": 0.5}
EXTRA_AT_MOST_PERCENT = 1.5
LAYER_AT_MOST_MB = {"f16": 6.4, "q8_0": 3.5}
PICTURE_UNIT = "of 255"
PICTURE_AT_MOST, TEXT_PICTURE_AT_MOST = 2.0, 0.5
"""Mean difference. Activations are rounded to 8 bits for quantized matrices, and kernels add up in
another order. For scale: another seed moves the picture by 30, and with the narrow Flux of the
text part another prompt by 1.5."""
TARGET_SIZE_PX = 256

Report = tuple[list[Figure], list[Comparison]]


def denoising_report(pairs: Mapping[tuple[str, int], Pair], has_targets: bool) -> Report:
    """Of the runs of each quantization and size.

    Args:
        has_targets: False for a model of another width than the targets are for.
    """
    figures = []
    for (quantization, size_px), pair in pairs.items():
        label = f"{quantization.upper()}, {size_px}x{size_px}"
        at_most = DENOISING_AT_MOST.get(quantization) if has_targets else None
        at_most = at_most if size_px == TARGET_SIZE_PX else None
        figures += _ratio(pair, f"denoising CPU time against stock, {label}", _step_cpu, at_most)
        figures += _ratio(pair, f"denoising wall time against stock, {label}", _step_wall, None)
        figures += _picture(pair, f"denoising, {label}", PICTURE_AT_MOST)
    labels = {key: f"{key[0].upper()}, {key[1]}x{key[1]}" for key in pairs}
    rows = {labels[key]: pair for key, pair in pairs.items()}
    comparisons = [
        _side_by_side("A denoising step, CPU time", "s", rows, _step_cpu, drawn=True),
        _side_by_side("A denoising step, wall time", "s", rows, _step_wall),
        _side_by_side("First step, with allocation, wall time", "s", rows, lambda r: r.step_s[0]),
        _side_by_side("Loading, with imports", "s", rows, lambda r: r.load_s),
        _side_by_side("Resident memory, peak", "MB", rows, lambda r: r.peak_mb, drawn=True),
        _side_by_side("Resident memory, after a picture", "MB", rows, lambda r: r.steady_mb),
    ]
    if any(run.device_mb for pair in pairs.values() for runs in pair.runs.values() for run in runs):
        comparisons.append(
            _side_by_side("Device memory, peak", "MB", rows, lambda r: r.device_mb, drawn=True)
        )
    return figures, comparisons


def text_report(pairs: Mapping[str, Pair]) -> Report:
    """Of T5, by its type."""
    figures = []
    for dtype, pair in pairs.items():
        label = f"T5-XXL {dtype.upper()}"
        at_most = TEXT_AT_MOST.get(dtype)
        figures += _ratio(
            pair, f"text encoder CPU time against stock, {label}", _encode_cpu, at_most
        )
        figures += _picture(pair, label, TEXT_PICTURE_AT_MOST)
    rows = {f"T5-XXL {dtype.upper()}": pair for dtype, pair in pairs.items()}
    note = "All 24 layers, 256 tokens: the engine fixes both."
    return figures, [
        _side_by_side("Encoding a prompt, CPU time", "s", rows, _encode_cpu, note, drawn=True),
        _side_by_side("Encoding a prompt, wall time", "s", rows, lambda run: run.encode_s),
        _side_by_side("Loading T5, with imports", "s", rows, lambda run: run.load_s),
        _side_by_side("Resident memory with T5, peak", "MB", rows, lambda run: run.peak_mb),
    ]


def identity_report(
    found: Mapping[str, Any],
    cached_s: Mapping[str, float],
    shape: FluxShape,
    quantization: str,
    has_targets: bool,
) -> Report:
    """Of identity_worker.py.

    Args:
        cached_s: The switches in a second process, which finds the folded identities on disk.
        has_targets: False for a model of another width than the targets are for.
    """
    layers = len(positions(shape.depth, shape.depth_single))
    blocks = shape.depth + shape.depth_single
    figures: list[Figure] = []
    at_most_percent = EXTRA_AT_MOST_PERCENT if has_targets else None
    how = f"{quantization.upper()}, {layers} identity layers in {blocks} blocks"
    for size_px, times in found["extra"].items():
        figures += extra_time_figures(times, f"{size_px}x{size_px}", at_most_percent, how)
    for dtype, at_most in LAYER_AT_MOST_MB.items():
        kept = found[f"params_{dtype}_bytes"] - found["params_plain_bytes"]
        figures.append(
            Figure(
                f"memory an identity keeps per layer, {dtype.upper()}",
                kept / layers / 1e6,
                "MB",
                at_most if has_targets else None,
                "difference of the diffusion model's parameters",
            )
        )
    switch_s = found["switches_s"]
    note = f"{layers} layers; on a live engine, nothing is loaded again."
    rows = (
        ("first, folded", (switch_s["first"],)),
        ("another person, folded", (switch_s["other"],)),
        ("back to one from before", (switch_s["back"],)),
        ("first, in a later process", (cached_s["first"],)),
        ("the same again", (switch_s["same"],)),
    )
    load_rows = (
        ("without PuLID weights", (found["load_plain_s"],)),
        ("with", (found["load_f16_s"],)),
    )
    return figures, [
        Comparison("Changing the identity", "s", ("pulid-sdcpp",), rows, note),
        Comparison("Loading the engine", "s", ("pulid-sdcpp",), load_rows),
    ]


def extra_time_figures(
    times: Mapping[str, list[float]], label: str, at_most_percent: float | None, how: str
) -> list[Figure]:
    """How much longer an evaluation takes with a person, in processor and in wall time.

    Args:
        times: Of identity_worker.py's `alternating`.
        label: What was evaluated.
        at_most_percent: The target of the processor time.
        how: What else is to be said.
    """
    figures = []
    for clock, words in (("cpu_s", "CPU"), ("s", "wall")):
        pairs = zip(times[f"with_{clock}"], times[f"plain_{clock}"], strict=True)
        step_s = statistics.median(times[f"plain_{clock}"])
        percents = sorted(100 * (with_s - plain_s) / step_s for with_s, plain_s in pairs)
        figures.append(
            Figure(
                f"PuLID's extra {words} time per step, {label}",
                statistics.median(percents),
                "%",
                at_most_percent if clock == "cpu_s" else None,
                f"{how}; step {step_s:.2f} s; {_middle_half(percents)} of {len(percents)} pairs",
            )
        )
    return figures


def attention_report(by_size: Mapping[int, Mapping[str, float]]) -> Report:
    """Of unfolded_attention.py, by the side of the picture."""
    rows = tuple(
        (f"{size}x{size}", (1e3 * found["unfolded_s"], 1e3 * found["folded_s"]))
        for size, found in by_size.items()
    )
    figures = [
        Figure(
            f"folded attention layer against its definition, {size}x{size}",
            found["folded_s"] / found["unfolded_s"],
            "ratio",
            note=f"NumPy, float32; results differ by {found['relative_difference']:.0e} (relative)",
        )
        for size, found in by_size.items()
    ]
    one = next(iter(by_size.values()))
    numbers = (one["unfolded_numbers"] * 2 / 1e6, one["folded_numbers"] * 2 / 1e6)
    series = ("as defined", "folded")
    note = (
        "A reference implementation of both in NumPy with its BLAS, float32, one layer of the "
        "published size. Not an engine: it shows the ratio."
    )
    return figures, [
        Comparison("PuLID's attention, one layer, one step", "ms", series, rows, note, drawn=True),
        Comparison("PuLID's weights, one layer, 16 bits", "MB", series, (("one layer", numbers),)),
    ]


def _step_cpu(run: Run) -> float:
    return run.per_step("cpu_s")


def _step_wall(run: Run) -> float:
    return run.per_step("s")


def _encode_cpu(run: Run) -> float:
    return run.encode_cpu_s


def _ratio(pair: Pair, what: str, number: Any, at_most: float | None) -> list[Figure]:
    """None where the stock engine did not run."""
    ratios = sorted(pair.ratios(number))
    if not ratios:
        return []
    spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} turns"
    if len(ratios) == 1:
        spread = "one turn"
    return [Figure(what, statistics.median(ratios), "ratio", at_most, spread)]


def _picture(pair: Pair, what: str, at_most: float) -> list[Figure]:
    if not pair.ratios(_step_wall):
        return []
    what = f"difference of the pictures, {what}"
    return [Figure(what, pair.difference, PICTURE_UNIT, at_most, "mean over all pixels")]


def _side_by_side(
    title: str,
    unit: str,
    pairs: Mapping[str, Pair],
    number: Any,
    note: str = "",
    drawn: bool = False,
) -> Comparison:
    rows = tuple((label, pair.both(number)) for label, pair in pairs.items())
    return Comparison(title, unit, SERIES, rows, note, drawn)


def _middle_half(ordered: list[float]) -> str:
    quarter = len(ordered) // 4
    inner = ordered[quarter : len(ordered) - quarter]
    return f"middle half {inner[0]:.2f} to {inner[-1]:.2f} %"
