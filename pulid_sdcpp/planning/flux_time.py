"""Seconds of Flux on this computer, measured by the real kernels on random weights.

A Flux has twice as many single blocks as double ones, 19 and 38. So a small one of real width
with 1 and 2 blocks is a nineteenth of it, but for what an evaluation takes whatever the number of
blocks is. That is told from a second small one, of 1 and 1: both kinds of block multiply each
token with as many numbers (12 times the width squared) and have the same attention, so three
times the time of the second less twice that of the first is left. It is measured at 256 x 256,
where many turns are quick, as is what an identity adds, which is proportional to the picture's
tokens.

What takes too long at the size that is asked for is measured at a smaller one and at 256 x 256, and
computed: blocks take a * tokens + b * tokens^2 (matrices, attention).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..memory.compute import LATENT_PX, T5_TOKENS
from ..options.context import ContextOptions
from ..pocket.pack import pocket_files
from .random_models import random_identity, small_flux, write_random_flux, write_random_pulid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine.stable_diffusion import StableDiffusion

__all__ = [
    "HIDDEN",
    "SMALL_TOKENS",
    "FluxTime",
    "LoadEngine",
    "evaluation_inputs",
    "measure_flux",
    "small_context",
    "time_matrices",
]

HIDDEN = 3072
PARTS = 19
"""So many times 1 double and 2 single blocks are a whole Flux."""
IDENTITY_LAYERS = 20
PATCH_PX = 2 * LATENT_PX
SMALL_PX = 256
SMALL_TOKENS = (SMALL_PX // PATCH_PX) ** 2
LIMIT_S = 12.0
"""For an evaluation of the small model, roughly; a size that takes longer is computed."""
_SMALL_TURNS, _SMALL_LIMIT_S = 5, 5.0
_MOST_CONSTANT = 0.3
"""Of a small evaluation; more is the noise of a busy computer."""
_MOST_IDENTITY = 0.1
_LATENT_CHANNELS = 16
_CONTEXT_WIDTH = 4096
_POOLED_WIDTH = 768
_MACS_PER_TOKEN = 12 * HIDDEN**2
"""Multiplications of a token with a block's matrices, of either kind."""
_MOST_ATTENTION = 8 / (6 * HIDDEN)
"""b / a at most. Attention multiplies 2 h times for each token and other token, which makes b / a
1 / (6 h) at equal speed; on a CPU with fast quantized matrices it was 6 times as slow."""

LoadEngine = Callable[[ContextOptions], "StableDiffusion"]


@dataclass(frozen=True)
class FluxTime:
    """What was measured of Flux.

    Attributes:
        tokens: Of the picture (and its references) that is asked for.
        measured_tokens: At which the blocks were timed; with fewer than `tokens` also at
            `SMALL_TOKENS`, and the rest is computed.
        part_s: 1 double and 2 single blocks, at `tokens`.
        constant_s: What an evaluation takes beside its blocks.
        identity_s: What one person adds to the evaluation of a whole Flux; 0: not asked for.
        small_part_s: As `part_s`, at `SMALL_TOKENS`.
        processor_share: On a CPU, how much of its threads' time the process had meanwhile.
        alone_s: On a CPU, an evaluation of a whole Flux as the processor time tells it, which
            other programs hardly change: what it would take if there were none.
    """

    tokens: int
    measured_tokens: int
    part_s: float
    constant_s: float
    identity_s: float = 0.0
    small_part_s: float = 0.0
    processor_share: float = 1.0
    alone_s: float = 0.0

    @property
    def evaluation_s(self) -> float:
        """A whole Flux, once, without people."""
        return self.of_parts(PARTS)

    @property
    def matrices_per_s(self) -> float:
        """Multiplications with matrices, each second; what else blocks do is counted as time."""
        return 3 * _MACS_PER_TOKEN * (SMALL_TOKENS + T5_TOKENS) / max(self.small_part_s, 1e-9)

    def of_parts(self, parts: float) -> float:
        """A Flux of `parts` double and twice as many single blocks."""
        return self.constant_s + parts * self.part_s


def small_context(context: ContextOptions, flux: Path, **paths: Any) -> ContextOptions:
    """How `context` computes, with a small model's files in its place, all of it in memory."""
    pocket = pocket_files()
    return replace(
        context,
        **{
            "diffusion_model_path": flux,
            "model_path": None,
            "clip_l_path": pocket.clip_l,
            "t5xxl_path": None,
            "vae_path": None,
            "taesd_path": pocket.taesd,
            "pulid_weights": None,
            "lora_model_dir": None,
            "offload_params_to_cpu": False,
            "max_vram": 0.0,
            "enable_mmap": False,  # Windows removes no file that is mapped
            "vae_decode_only": True,
            "wtype": "default",
            "tensor_type_rules": "",
            **paths,
        },
    )


def measure_flux(
    context: ContextOptions,
    dtype: str,
    tokens: int,
    folder: Path,
    *,
    with_identity: bool,
    load: LoadEngine,
    hidden: int = HIDDEN,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.perf_counter,
) -> FluxTime:
    """Time Flux's blocks.

    Args:
        context: How it will compute: devices, threads, flash attention.
        dtype: Type of the blocks' matrices.
        tokens: Of the picture that is asked for, without the text.
        folder: For a file at a time, removed again: 0.5 GB in 4 bits, 0.9 GB in 8, 1.4 GB in 16.
        with_identity: Whether PuLID's layers are timed, too.
        load: Loads an engine.
        hidden: Width of the blocks; another than Flux's only tries this out.
        limit_s: As `LIMIT_S`.
        clock: Seconds; of the process's own, `time.process_time`, on a computer that is busy.

    Raises:
        PulidError: The engine cannot be loaded, or fails; a file cannot be written.
    """
    weights, identity = None, None
    if with_identity:
        weights, identity = folder / "pulid.safetensors", random_identity()
        write_random_pulid(weights, small_flux(1, 1, hidden))
    small_model = functools.partial(_flux, context, folder, hidden, dtype, load)
    with contextlib.ExitStack() as stack:
        two_blocks = stack.enter_context(small_model(1, 1, weights))
        part = stack.enter_context(small_model(1, 2))
        calls = [lambda inputs: part.evaluate(*inputs), lambda inputs: two_blocks.evaluate(*inputs)]
        if identity is not None:
            calls.append(lambda inputs: two_blocks.evaluate(*inputs, pulid_id_embedding=identity))
        clocks = (clock, time.process_time)
        small, small_cpu = _in_turn(calls, SMALL_TOKENS, _SMALL_TURNS, _SMALL_LIMIT_S, clocks)
        chosen = _tokens_within(tokens, small[0], limit_s)
        larger, larger_cpu = small, small_cpu
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        if chosen != SMALL_TOKENS:
            larger, larger_cpu = _in_turn(calls[:1], chosen, 2, limit_s / 2, clocks)
        else:
            part.evaluate(*evaluation_inputs(SMALL_TOKENS))
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    constant_s, part_s = _told(small, larger[0], chosen, tokens)
    constant_cpu_s, part_cpu_s = _told(small_cpu, larger_cpu[0], chosen, tokens)
    alone_s = (constant_cpu_s + PARTS * part_cpu_s) / context.threads
    identity_s = 0.0
    if identity is not None:
        extra_s = min(max(small[2] - small[1], 0.0), _MOST_IDENTITY * small[1])
        identity_s = IDENTITY_LAYERS / 2 * extra_s * tokens / SMALL_TOKENS  # it has two layers
    share = min(cpu_s / (wall_s * context.threads), 1.0)
    small_part_s = small[0] - constant_s
    return FluxTime(tokens, chosen, part_s, constant_s, identity_s, small_part_s, share, alone_s)


def _told(
    small: Sequence[float], at_chosen: float, chosen: int, tokens: int
) -> tuple[float, float]:
    """What does not depend on blocks, and a part of them at `tokens`.

    Args:
        small: Seconds at `SMALL_TOKENS`, of 1 and 2 blocks, then of 1 and 1.
        at_chosen: Of 1 and 2 blocks at `chosen` tokens.
    """
    constant_s = min(max(3 * small[1] - 2 * small[0], 0.0), _MOST_CONSTANT * small[1])
    many = (chosen, max(at_chosen - constant_s, 0.0))
    return constant_s, _computed((SMALL_TOKENS, small[0] - constant_s), many, tokens)


def time_matrices(
    context: ContextOptions,
    dtype: str,
    folder: Path,
    *,
    load: LoadEngine,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Multiplications per second with matrices of a type, for text encoders of which none is here.

    Where they are of Flux's type and on its device, `FluxTime.matrices_per_s` says it already.
    """
    with _flux(context, folder, HIDDEN, dtype, load, 1, 1) as engine:
        calls = [lambda inputs: engine.evaluate(*inputs)]
        spent_s = _in_turn(calls, SMALL_TOKENS, _SMALL_TURNS, _SMALL_LIMIT_S, (clock,))[0][0]
    return 2 * _MACS_PER_TOKEN * (SMALL_TOKENS + T5_TOKENS) / spent_s


@contextlib.contextmanager
def _flux(
    context: ContextOptions,
    folder: Path,
    hidden: int,
    dtype: str,
    load: LoadEngine,
    depth: int,
    depth_single: int,
    pulid_weights: Path | None = None,
) -> Iterator[StableDiffusion]:
    """A small model on an engine; its file is there only while it is loaded."""
    path = folder / f"flux-{depth}-{depth_single}-{hidden}.gguf"
    write_random_flux(path, small_flux(depth, depth_single, hidden), dtype)
    try:
        engine = load(small_context(context, path, pulid_weights=pulid_weights))
    finally:
        path.unlink()
    with engine:
        yield engine


def _in_turn(
    calls: Sequence[Callable[[Any], object]],
    tokens: int,
    turns: int,
    limit_s: float,
    clocks: Sequence[Callable[[], float]],
) -> list[list[float]]:
    """The least seconds of each by each clock; in turn, so that a busy computer is so for all.

    The first turn makes room for this size. It counts only if it took all the time there is.
    """
    inputs = evaluation_inputs(tokens)
    nothing = [[math.inf] * len(calls) for _ in clocks]
    least = copy.deepcopy(nothing)
    began_s = time.perf_counter()
    for turn in range(1 + turns):
        if turn == 1 and time.perf_counter() - began_s < limit_s:
            least = nothing
        elif turn and time.perf_counter() - began_s >= limit_s:
            break
        for index, call in enumerate(calls):
            started = [clock() for clock in clocks]
            call(inputs)
            for found, clock, started_s in zip(least, clocks, started, strict=True):
                found[index] = min(found[index], clock() - started_s)
    return least


def evaluation_inputs(tokens: int) -> tuple[Any, ...]:
    """Latent, timestep, context and pooled vector of a picture of so many tokens."""
    rng = np.random.default_rng(0)
    rows = max(divisor for divisor in range(1, math.isqrt(tokens) + 1) if tokens % divisor == 0)
    shape = (_LATENT_CHANNELS, 2 * rows, 2 * (tokens // rows))
    latent: NDArray[np.float32] = rng.standard_normal(shape, np.float32)
    context = rng.standard_normal((T5_TOKENS, _CONTEXT_WIDTH), np.float32)
    return latent, 0.7, context, rng.standard_normal(_POOLED_WIDTH, np.float32)


def _tokens_within(tokens: int, small_s: float, limit_s: float) -> int:
    """The tokens to measure at: those asked for, or as many as the time allows."""

    def expected_s(count: int) -> float:
        share = (count + T5_TOKENS) / (SMALL_TOKENS + T5_TOKENS)
        return small_s * share * (1 + count / 16384)  # attention grows faster

    if expected_s(tokens) <= limit_s:
        return tokens
    sides = range(SMALL_PX // PATCH_PX, math.isqrt(tokens) + 1, 4)
    return max((side**2 for side in sides if expected_s(side**2) <= limit_s), default=SMALL_TOKENS)


def _computed(few: tuple[int, float], many: tuple[int, float], tokens: int) -> float:
    """From seconds at two numbers of tokens to those at a third; the text's come on top of each."""
    n1, n2, n = (count + T5_TOKENS for count in (few[0], many[0], tokens))
    if n == n2 or n1 == n2:
        return many[1] * n / n2
    b = (many[1] / n2 - few[1] / n1) / (n2 - n1)
    a = many[1] / n2 - b * n2
    if b <= 0 or b > _MOST_ATTENTION * a:  # noise, also where a is negative
        share = 0.0 if b <= 0 else _MOST_ATTENTION
        a = many[1] / (n2 + share * n2**2)
        b = share * a
    return a * n + b * n * n
