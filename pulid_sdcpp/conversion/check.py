"""Is a converted file what it should be: names, shapes, types, and values within their type.

How far a value may be off is derived from how a type stores it, not measured: with the largest
absolute value `a` of a block, a type of n levels to each side has steps of a / n, and the last
level may be missing on one side, so that a value is off by a step at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import GenerationError, ModelFileError
from ..tensors.tensor_file import TensorFile
from ..tensors.tensor_header import TensorInfo
from ..terminal_text import quoted
from .plan import ConversionPlan, squeezed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_conversion"]

_SAMPLE_ELEMENTS = 1 << 16
_SUPER_BLOCK = 256
_SAMPLES = 3  # of a matrix: its first rows, those in the middle, the last


@dataclass(frozen=True)
class _Rounding:
    """How far a value may be off.

    Attributes:
        block: Values that share a step.
        step: Of the block's largest value.
        levels: The largest number a stored step is multiplied by; it is an F16, so that it is off
            by 2^-11 of itself, or by 2^-25 where it is tiny.
        outer: K-quants round the blocks' steps too: of the largest of 256 values.
    """

    block: int
    step: float
    levels: int
    outer: float = 0.0


_ROUNDING = {
    "q4_0": _Rounding(32, 1 / 8, 8),  # levels -8 to 7
    "q4_1": _Rounding(32, 1 / 15, 15),  # 16 levels over 2 a: half a step
    "q5_0": _Rounding(32, 1 / 16, 16),
    "q5_1": _Rounding(32, 1 / 31, 31),
    "q8_0": _Rounding(32, 1 / 254, 127),  # levels -127 to 127: half a step
    "q2_k": _Rounding(16, 1 / 3, 3 * 15, 1 / 10),  # 4-bit steps and minima
    "q3_k": _Rounding(16, 1 / 4, 4 * 32, 1 / 62),  # 6-bit steps, with sign
    "q4_k": _Rounding(32, 1 / 15, 15 * 63, 1 / 42),  # 6-bit steps and minima
    "q5_k": _Rounding(32, 1 / 31, 31 * 63, 1 / 42),
    "q6_k": _Rounding(16, 1 / 32, 32 * 128, 1 / 254),  # 8-bit steps
    "iq4_nl": _Rounding(32, 14 / 113, 127),  # levels -127 ... 113
    "iq4_xs": _Rounding(32, 14 / 113, 127 * 32, 1 / 62),
}
_HALF, _HALF_TINY = 2.0**-11, 2.0**-25
_FLOAT_STEPS = {"f16": (2.0**-11, 2.0**-25), "bf16": (2.0**-8, 0.0)}  # relative, absolute
# The engine looks for the steps with the least error, large values counting more: any one value
# may be off further than by rounding, the mean of the squares not.
_SLACK = 1.5


def check_conversion(source: TensorFile, result: TensorFile, plan: ConversionPlan) -> float:
    """Compare a converted file with what it was made from.

    Returns:
        The largest relative error of a quantized tensor, ||result - source|| / ||source||.

    Raises:
        ModelFileError: The source holds NaN or infinity.
        GenerationError: The result is not what was asked for.
    """
    names = set(result.names())
    if names != set(plan.types):
        missing, extra = set(plan.types) - names, names - set(plan.types)
        raise _wrong(f"tensors are missing: {len(missing)}; too many: {len(extra)}")
    worst = 0.0
    for name, kind in plan.types.items():
        before, after = source.info(name), result.info(name)
        if squeezed(after.shape) != squeezed(before.shape):
            raise _wrong(f"{quoted(name)} has the shape {after.shape} instead of {before.shape}")
        if after.dtype != kind:
            raise _wrong(f"{quoted(name)} is {after.dtype} instead of {kind}")
        if kind != "i32":  # CLIP's positions
            worst = max(worst, _check_values(source, result, before, after))
    return worst


def _check_values(
    source: TensorFile, result: TensorFile, before: TensorInfo, after: TensorInfo
) -> float:
    import numpy as np

    name = quoted(before.name)
    errors = sizes = 0.0
    for rows in _samples(before, after):
        wanted = _read(source, before, rows)
        found = _read(result, after, rows).reshape(wanted.shape)
        if not np.isfinite(wanted).all():
            raise ModelFileError(f"{source.path}: damaged weights: {name} holds NaN or infinity")
        if not np.isfinite(found).all():
            raise _wrong(f"{name} became infinite; give it the type bf16 or f32 with a rule")
        squares = (found.astype(np.float64) - wanted) ** 2
        allowed = _allowed_squares(wanted, after.dtype, before.dtype)
        if squares.mean() > allowed:
            raise _wrong(
                f"{name} is off by {squares.mean() ** 0.5:.2g}, of which rounding to "
                f"{after.dtype} explains {allowed**0.5:.2g}"
            )
        errors += float(squares.sum())
        sizes += float((wanted.astype(np.float64) ** 2).sum())
    return (errors / sizes) ** 0.5 if sizes else 0.0


def _samples(before: TensorInfo, after: TensorInfo) -> Iterator[tuple[int, int] | None]:
    """Ranges of rows to look at; None: all of it."""
    shape = before.shape
    if before.n_elements <= _SAMPLES * _SAMPLE_ELEMENTS or shape != after.shape:
        yield None
        return
    count = max(1, _SAMPLE_ELEMENTS * shape[0] // before.n_elements)
    for start in (0, (shape[0] - count) // 2, shape[0] - count):
        yield start, start + count


def _read(file: TensorFile, info: TensorInfo, rows: tuple[int, int] | None) -> NDArray[np.float32]:
    import numpy as np

    if not info.shape:
        return np.atleast_1d(file.read(info.name))
    return file.read(info.name, rows=rows)


def _allowed_squares(values: NDArray[np.float32], after: str, before: str) -> float:
    """The mean square that storing `values` as the type `after` explains."""
    import numpy as np

    size = np.abs(values.astype(np.float64))
    if after in _ROUNDING and after != before:
        rounding = _ROUNDING[after]
        error = (rounding.step + 2 * _HALF) * _largest(size, rounding.block)
        error += rounding.levels * _HALF_TINY
        if rounding.outer:
            error += rounding.outer * _largest(size, _SUPER_BLOCK)
        return float(np.mean((_SLACK * error) ** 2))
    relative, absolute = _FLOAT_STEPS.get(after, (0.0, 0.0))
    return float(np.mean((relative * size + absolute) ** 2))


def _largest(size: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """For each value the largest of its block; rows are multiples of it."""
    import numpy as np

    blocks = size.reshape(-1, block)
    return np.repeat(blocks.max(axis=1), block).reshape(size.shape)


def _wrong(what: str) -> GenerationError:
    return GenerationError(f"the engine's conversion is not what was asked for: {what}")
