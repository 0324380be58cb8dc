"""Whether a file is an upscaling model that the engine can build: an ESRGAN of RRDB blocks.

The engine takes the number of blocks from the highest that a name has, and makes as many.

Source: stable-diffusion.cpp, src/esrgan.hpp; names of xinntao/ESRGAN ("model.1.sub.0.RDB1.conv1.0")
and xinntao/Real-ESRGAN ("body.0.rdb1.conv1").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..errors import ModelFileError
from ..tensors.tensor_header import TensorInfo
from ..terminal_text import quoted

__all__ = ["check_upscaler_tensors", "upscaler_scale"]

FEATURES = 64
GROWTH = 32
MAX_BLOCKS = 100
"""Real-ESRGAN has 23 or 6."""

_BLOCK = re.compile(r"(?:body|model\.1\.sub)\.([0-9]+)\.rdb", re.IGNORECASE)
_OLD_ENDS = {1: (2, 4), 2: (3, 5, 7), 4: (3, 6, 8, 10)}
_OLD_SCALES = {4: 1, 7: 2, 10: 4}
"""By the highest number in the names: how many times as large the picture becomes."""

_Conv = tuple[str, int, int]
"""Name, channels out, channels in; all have 3x3 kernels."""


def check_upscaler_tensors(path: str, tensors: Mapping[str, TensorInfo]) -> None:
    """Make sure that the tensors are those the engine asks for.

    Raises:
        ModelFileError: Another model; or a tensor is missing or of another shape.
    """
    numbers = sorted({found[1] for name in tensors if (found := _BLOCK.match(name))}, key=len)
    if not numbers:
        raise ModelFileError(f"{path}: expected an upscaling model (ESRGAN), found no RRDB blocks")
    blocks = max(int(number[:9]) for number in numbers) + 1
    if blocks > MAX_BLOCKS or len(numbers[-1]) > 9:
        raise ModelFileError(
            f"{path}: damaged upscaling model: it names block {quoted(numbers[-1], 20)}, and such "
            f"models have up to {MAX_BLOCKS}"
        )
    for name, outputs, inputs in _expected(tensors, blocks):
        for kind, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,))):
            tensor = tensors.get(f"{name}.{kind}")
            if tensor is None:
                raise ModelFileError(
                    f"{path}: expected an upscaling model (ESRGAN) of {blocks} blocks; "
                    f"{name}.{kind} is missing"
                )
            if tensor.shape != shape:
                raise ModelFileError(
                    f"{path}: expected {name}.{kind} of shape {shape}, found {tensor.shape}; the "
                    "engine has no other upscaling models"
                )


def upscaler_scale(tensors: Mapping[str, TensorInfo]) -> int:
    """How many times as wide and high the model makes a picture; 0: no tensors are known."""
    if "model.0.weight" in tensors:
        return {ends: scale for scale, ends in _OLD_ENDS.items()}[_old_ends(tensors)]
    if "conv_first.weight" not in tensors:
        return 0
    return 4 if "conv_up2.weight" in tensors else 2 if "conv_up1.weight" in tensors else 1


def _expected(tensors: Mapping[str, TensorInfo], blocks: int) -> Iterator[_Conv]:
    is_old = "model.0.weight" in tensors
    yield "model.0" if is_old else "conv_first", FEATURES, 3
    for block in range(blocks):
        for dense in (1, 2, 3):
            for layer in range(1, 6):
                yield (
                    f"model.1.sub.{block}.RDB{dense}.conv{layer}.0"
                    if is_old
                    else f"body.{block}.rdb{dense}.conv{layer}",
                    FEATURES if layer == 5 else GROWTH,
                    FEATURES + GROWTH * (layer - 1),
                )
    if is_old:
        yield f"model.1.sub.{blocks}", FEATURES, FEATURES
        ends = [f"model.{number}" for number in _old_ends(tensors)]
    else:
        yield "conv_body", FEATURES, FEATURES
        ups = ("conv_up1", "conv_up2") if "conv_up2.weight" in tensors else ("conv_up1",)
        ends = [name for name in ups if f"{ups[-1]}.weight" in tensors] + ["conv_hr", "conv_last"]
    for name in ends[:-1]:
        yield name, FEATURES, FEATURES
    yield ends[-1], 3, FEATURES


def _old_ends(tensors: Mapping[str, TensorInfo]) -> tuple[int, ...]:
    numbers = (re.match(r"model\.([0-9]{1,4})\.", name) for name in tensors)
    highest = max(int(found[1]) for found in numbers if found)
    scale = next((scale for most, scale in _OLD_SCALES.items() if highest <= most), 4)
    return _OLD_ENDS[scale]
