"""Whether a model file has the tensors that the engine will ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import ModelFileError
from .tensor_header import TensorInfo

__all__ = ["check_expected_tensors"]

_UNREADABLE = {"bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f8_e8m0", "c64"}


def check_expected_tensors(
    tensors: Mapping[str, TensorInfo],
    expected: Iterable[tuple[str, tuple[int, ...]]],
    source: str,
    model: str,
) -> None:
    """Make sure that every tensor is there, of the right shape and a type the engine reads.

    Args:
        tensors: Of the model, by the names in `expected`.
        expected: Names and row-major shapes.
        source: The file, for errors.
        model: What it should be, such as "Flux model".

    Raises:
        ModelFileError: One is missing, misshaped or of another type; names the first.
    """
    for name, shape in expected:
        found = tensors.get(name)
        if found is None:
            raise ModelFileError(f"{source}: incomplete {model}: {name} is missing")
        if not _same_shape(found.shape, shape):
            raise ModelFileError(f"{source}: expected {name} of shape {shape}, found {found.shape}")
        if found.dtype in _UNREADABLE:
            raise ModelFileError(
                f"{source}: {name} is of type {found.dtype}, which the engine cannot read;"
                " use a gguf or an F16 or BF16 file"
            )


def _same_shape(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Shapes in ggml always have four numbers, the last ones 1."""
    return _squeezed(found) == _squeezed(expected)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without leading ones."""
    first = next((index for index, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
