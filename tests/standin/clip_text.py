"""A CLIP text encoder that tells prompts apart and is nearly empty, of any size.

The engine reads any ggml type, so:

- the token embedding is random 4-bit numbers (q4_0; the engine turns types that it cannot look
  rows up in into f32, so nothing smaller helps);
- the first layer's attention is random: it mixes the words into the last token, whose
  output is the prompt's vector;
- all else is zero, and left as holes in the file, which take no room on most disks.

The order of the words matters by the position embedding and the causal mask.

Source of names: openai/clip-vit-large-patch14; stable-diffusion.cpp, src/clip.hpp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from pulid_sdcpp.model_files.clip_l_layout import EMPTY_TYPE, POSITIONS, VOCABULARY
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal, random_bytes

__all__ = ["ClipTextShape", "clip_text_tensors", "random_q4_0"]

_Q4_0_BLOCK = 32
_Q4_0_DEVIATION = math.sqrt((16**2 - 1) / 12)
"""Of uniformly distributed 4-bit numbers."""


@dataclass(frozen=True)
class ClipTextShape:
    """Sizes of a CLIP text encoder; its 49,408 tokens and 77 positions are always the same."""

    width: int
    mlp_width: int
    layers: int


def clip_text_tensors(shape: ClipTextShape, seed: int) -> list[TensorSpec]:
    """The tensors of a CLIP text encoder, without a projection, for a gguf file."""
    width, mlp_width = shape.width, shape.mlp_width
    specs = [
        random_q4_0("text_model.embeddings.token_embedding.weight", VOCABULARY, width, 1.0, seed),
        _vector("text_model.embeddings.position_embedding.weight", (POSITIONS, width), 0.3, seed),
    ]
    for layer in range(shape.layers):
        prefix = f"text_model.encoder.layers.{layer}"
        for norm in ("layer_norm1", "layer_norm2"):
            specs += _norm(f"{prefix}.{norm}", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            name = f"{prefix}.self_attn.{part}"
            if layer:
                specs.append(_empty(f"{name}.weight", width, width))
            else:
                # The mean over a prompt's words is small beside the last token itself.
                gain = 2.0 if part in ("v_proj", "out_proj") else 1.0
                deviation = gain / math.sqrt(width)
                specs.append(random_q4_0(f"{name}.weight", width, width, deviation, seed))
            specs.append(TensorSpec(f"{name}.bias", (width,), "f32"))
        for part, rows, columns in (("fc1", mlp_width, width), ("fc2", width, mlp_width)):
            specs.append(_empty(f"{prefix}.mlp.{part}.weight", rows, columns))
            specs.append(TensorSpec(f"{prefix}.mlp.{part}.bias", (rows,), "f32"))
    return specs + _norm("text_model.final_layer_norm", width)


def random_q4_0(name: str, rows: int, columns: int, deviation: float, seed: int) -> TensorSpec:
    """A matrix made of random q4_0 blocks directly, without quantizing anything."""

    def blocks() -> np.ndarray:
        packed = np.empty((rows * columns // _Q4_0_BLOCK, 2 + _Q4_0_BLOCK // 2), np.uint8)
        scale = np.array([deviation / _Q4_0_DEVIATION], "<f2")
        packed[:, :2] = scale.view(np.uint8)
        packed[:, 2:] = random_bytes(seed, name, packed[:, 2:].size).reshape(len(packed), -1)
        return packed

    return TensorSpec(name, (rows, columns), "q4_0", blocks)


def _norm(name: str, width: int) -> list[TensorSpec]:
    return [
        TensorSpec(f"{name}.weight", (width,), "f32", partial(np.ones, width, np.float32)),
        TensorSpec(f"{name}.bias", (width,), "f32"),
    ]


def _vector(name: str, shape: tuple[int, ...], deviation: float, seed: int) -> TensorSpec:
    return TensorSpec(name, shape, "f32", partial(normal, seed, name, shape, deviation))


def _empty(name: str, rows: int, columns: int) -> TensorSpec:
    return TensorSpec(name, (rows, columns), EMPTY_TYPE)
