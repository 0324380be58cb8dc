"""A small Flux: the tensors of flux1-schnell or -dev with fewer and narrower blocks.

The weights are random, scaled so that activations stay of the order of one through any
depth: a difference between two computations of it means something, and nothing leaves the
range of float16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal

__all__ = ["HEAD_DIM", "LATENT_CHANNELS", "FluxShape", "flux_tensors"]

HEAD_DIM = 128
"""Fixed by the position embedding: axes of 16, 56 and 56."""
LATENT_CHANNELS = 64
"""16 latent channels in patches of 2 x 2."""
TIME_DIM = 256
"""Width of the sinusoidal embedding of timestep and guidance."""
_KEPT_IN_F16 = ("img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer.")
"""Not quantized, as in published files.

Source: stable-diffusion.cpp, src/model.cpp, tensor_should_be_converted.
"""


@dataclass(frozen=True)
class FluxShape:
    """Sizes of a Flux; the defaults beside the first three are the real model's.

    Raises:
        ValueError: The sizes do not make a Flux that the engine can run.
    """

    depth: int = 3
    depth_single: int = 5
    hidden: int = 256
    guidance_embed: bool = field(default=False, kw_only=True)
    """True: a distilled guidance input, as flux1-dev has and schnell has not."""
    context_in_dim: int = field(default=4096, kw_only=True)
    """Width of T5's output. The engine makes zeros of width 4096 where there is no T5."""
    vec_in_dim: int = field(default=768, kw_only=True)
    """Width of CLIP-L's pooled output."""
    in_channels: int = field(default=LATENT_CHANNELS, kw_only=True)
    """Of an image token; 384 in Fill, which also gets the picture and the mask."""
    mlp_ratio: int = field(default=4, kw_only=True)

    def __post_init__(self) -> None:
        if self.depth < 1 or self.depth_single < 1:
            raise ValueError(f"depth {self.depth} and {self.depth_single}: expected 1 or more")
        if self.hidden < HEAD_DIM or self.hidden % HEAD_DIM:
            raise ValueError(f"hidden {self.hidden}: expected a multiple of {HEAD_DIM}")


def flux_tensors(
    shape: FluxShape,
    seed: int,
    dtype: str,
    packed_values: Callable[[int, str, tuple[int, ...], float], np.ndarray] | None = None,
) -> list[TensorSpec]:
    """The tensors of a Flux file.

    Args:
        dtype: Type of the blocks' matrices: "f16", "q8_0", "q4_0", "q4_k". The other
            matrices stay "f16", vectors "f32".
        packed_values: Makes a block matrix as the file will hold it (uint8) from (seed, name,
            shape, standard deviation). None: values are made and then converted.
    """
    specs = []
    for name, size, values in _parameters(shape):
        stored = _stored_type(name, size, dtype)
        make: Callable[[], np.ndarray] = partial(normal, seed, name, size, *values)
        if packed_values is not None and _is_block_matrix(name, size):
            make = partial(packed_values, seed, name, size, values[0])
        specs.append(TensorSpec(name, size, stored, make))
    return specs


def _is_block_matrix(name: str, size: tuple[int, ...]) -> bool:
    return len(size) > 1 and not name.startswith(_KEPT_IN_F16)


def _stored_type(name: str, size: tuple[int, ...], dtype: str) -> str:
    if len(size) == 1:
        return "f32"
    return dtype if _is_block_matrix(name, size) else "f16"


_Parameter = tuple[str, tuple[int, ...], tuple[float, float]]
"""Name, shape, (standard deviation, mean)."""


def _parameters(shape: FluxShape) -> Iterator[_Parameter]:
    h = shape.hidden
    mlp = h * shape.mlp_ratio
    yield from _linear("img_in", h, shape.in_channels)
    # A missing T5 is zeros, so that the text tokens are this bias.
    yield from _linear("txt_in", h, shape.context_in_dim, bias=0.5)
    inputs = [("time_in", TIME_DIM), ("vector_in", shape.vec_in_dim)]
    if shape.guidance_embed:
        inputs.append(("guidance_in", TIME_DIM))
    for name, width in inputs:
        yield from _linear(f"{name}.in_layer", h, width)
        # The prompt speaks louder than the timestep, so that it can be seen in the noise.
        yield from _linear(f"{name}.out_layer", h, h, gain=4.0 if name == "vector_in" else 1.5)
    for i in range(shape.depth):
        for stream in ("img", "txt"):
            block = f"double_blocks.{i}.{stream}"
            yield from _modulation(f"{block}_mod.lin", h, gates=2)
            yield from _linear(f"{block}_attn.qkv", 3 * h, h)
            yield from _head_norms(f"{block}_attn.norm")
            yield from _linear(f"{block}_attn.proj", h, h)
            yield from _linear(f"{block}_mlp.0", mlp, h)
            yield from _linear(f"{block}_mlp.2", h, mlp, gain=1.5)
    for i in range(shape.depth_single):
        block = f"single_blocks.{i}"
        yield from _modulation(f"{block}.modulation.lin", h, gates=1)
        yield from _linear(f"{block}.linear1", 3 * h + mlp, h)
        yield from _head_norms(f"{block}.norm")
        yield from _linear(f"{block}.linear2", h, h + mlp, gain=1.5)
    yield from _linear("final_layer.adaLN_modulation.1", 2 * h, h, gain=0.3)
    yield from _linear("final_layer.linear", LATENT_CHANNELS, h)


def _linear(
    name: str, rows: int, columns: int, *, gain: float = 1.0, bias: float = 0.05
) -> Iterator[_Parameter]:
    yield f"{name}.weight", (rows, columns), (gain / math.sqrt(columns), 0.0)
    yield f"{name}.bias", (rows,), (bias, 0.0)


def _modulation(name: str, h: int, gates: int) -> Iterator[_Parameter]:
    """Shift, scale and gate for each of `gates` branches, all about 0.3 with either sign.

    Gates of one sign would add up over the blocks; these keep the residual stream's growth slow.
    """
    yield from _linear(name, 3 * gates * h, h, gain=0.3, bias=0.3)


def _head_norms(name: str) -> Iterator[_Parameter]:
    for which in ("query", "key"):
        yield f"{name}.{which}_norm.scale", (HEAD_DIM,), (0.1, 1.0)
