"""A CLIP-L text encoder that tells prompts apart and is nearly empty.

The engine fixes its size: 12 layers, 768 wide, 49,408 tokens, 123 million parameters. It
reads any ggml type, so:

- the token embedding is random 4-bit numbers (q4_0, 21 MB; the engine turns types that it
  cannot look rows up in into f32, so nothing smaller helps);
- the first layer's attention is random: it mixes the words into the last token, whose
  output is the prompt's vector;
- all else is zero, and left as holes in the file: 27 MB that take no room on most disks.

The order of the words matters by the position embedding and the causal mask.

Source of names: openai/clip-vit-large-patch14; stable-diffusion.cpp, src/clip.hpp.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from pulid_sdcpp.model_files.clip_l_layout import (
    EMPTY_TYPE,
    LAYERS,
    MLP_WIDTH,
    POSITIONS,
    VOCABULARY,
    WIDTH,
)
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal, random_bytes

__all__ = ["clip_l_tensors"]

_Q4_0_BLOCK = 32
_Q4_0_DEVIATION = math.sqrt((16**2 - 1) / 12)
"""Of uniformly distributed 4-bit numbers."""


def clip_l_tensors(seed: int) -> list[TensorSpec]:
    """The tensors of a CLIP-L text encoder for a gguf file."""
    specs = [
        _random_q4_0("text_model.embeddings.token_embedding.weight", VOCABULARY, WIDTH, 1.0, seed),
        _vector("text_model.embeddings.position_embedding.weight", (POSITIONS, WIDTH), 0.3, seed),
    ]
    for layer in range(LAYERS):
        prefix = f"text_model.encoder.layers.{layer}"
        for norm in ("layer_norm1", "layer_norm2"):
            specs += _norm(f"{prefix}.{norm}")
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            name = f"{prefix}.self_attn.{part}"
            if layer:
                specs.append(_empty(f"{name}.weight", WIDTH, WIDTH))
            else:
                # The mean over a prompt's words is small beside the last token itself.
                gain = 2.0 if part in ("v_proj", "out_proj") else 1.0
                deviation = gain / math.sqrt(WIDTH)
                specs.append(_random_q4_0(f"{name}.weight", WIDTH, WIDTH, deviation, seed))
            specs.append(TensorSpec(f"{name}.bias", (WIDTH,), "f32"))
        for part, rows, columns in (("fc1", MLP_WIDTH, WIDTH), ("fc2", WIDTH, MLP_WIDTH)):
            specs.append(_empty(f"{prefix}.mlp.{part}.weight", rows, columns))
            specs.append(TensorSpec(f"{prefix}.mlp.{part}.bias", (rows,), "f32"))
    return specs + _norm("text_model.final_layer_norm")


def _norm(name: str) -> list[TensorSpec]:
    return [
        TensorSpec(f"{name}.weight", (WIDTH,), "f32", partial(np.ones, WIDTH, np.float32)),
        TensorSpec(f"{name}.bias", (WIDTH,), "f32"),
    ]


def _vector(name: str, shape: tuple[int, ...], deviation: float, seed: int) -> TensorSpec:
    return TensorSpec(name, shape, "f32", partial(normal, seed, name, shape, deviation))


def _empty(name: str, rows: int, columns: int) -> TensorSpec:
    return TensorSpec(name, (rows, columns), EMPTY_TYPE)


def _random_q4_0(name: str, rows: int, columns: int, deviation: float, seed: int) -> TensorSpec:
    """A matrix made of random q4_0 blocks directly, without quantizing anything."""

    def blocks() -> np.ndarray:
        packed = np.empty((rows * columns // _Q4_0_BLOCK, 2 + _Q4_0_BLOCK // 2), np.uint8)
        scale = np.array([deviation / _Q4_0_DEVIATION], "<f2")
        packed[:, :2] = scale.view(np.uint8)
        packed[:, 2:] = random_bytes(seed, name, packed[:, 2:].size).reshape(len(packed), -1)
        return packed

    return TensorSpec(name, (rows, columns), "q4_0", blocks)
