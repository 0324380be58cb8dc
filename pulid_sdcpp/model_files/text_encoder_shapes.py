"""Tensors of the two text encoders: the engine knows them in one size only.

Source: the published files; stable-diffusion.cpp, src/clip.hpp and src/t5.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator

from .clip_l_layout import LAYERS, MLP_WIDTH, POSITIONS, VOCABULARY, WIDTH

__all__ = ["T5_LAYERS", "T5_MACS_PER_TOKEN", "clip_l_shapes", "t5_shapes"]

Shapes = Iterator[tuple[str, tuple[int, ...]]]

T5_LAYERS = 24
_T5_WIDTH = 4096
_T5_MLP_WIDTH = 10240
_T5_VOCABULARY = 32128
_T5_POSITION_BUCKETS, _T5_HEADS = 32, 64
T5_MACS_PER_TOKEN = T5_LAYERS * (4 * _T5_WIDTH**2 + 3 * _T5_WIDTH * _T5_MLP_WIDTH)
"""Multiplications of one token with all matrices."""


def clip_l_shapes() -> Shapes:
    """Name and shape of each tensor of CLIP-L."""
    embeddings = "text_model.embeddings"
    yield f"{embeddings}.token_embedding.weight", (VOCABULARY, WIDTH)
    yield f"{embeddings}.position_embedding.weight", (POSITIONS, WIDTH)
    for layer in range(LAYERS):
        name = f"text_model.encoder.layers.{layer}"
        matrices = [(f"self_attn.{part}_proj", WIDTH, WIDTH) for part in ("q", "k", "v", "out")]
        matrices += [("mlp.fc1", MLP_WIDTH, WIDTH), ("mlp.fc2", WIDTH, MLP_WIDTH)]
        for part, rows, columns in matrices:
            yield f"{name}.{part}.weight", (rows, columns)
            yield f"{name}.{part}.bias", (rows,)
        for norm in ("layer_norm1", "layer_norm2"):
            yield from _norm(f"{name}.{norm}")
    yield from _norm("text_model.final_layer_norm")


def t5_shapes(*, embedding_twice: bool) -> Shapes:
    """Name and shape of each tensor of T5-XXL's encoder.

    Args:
        embedding_twice: safetensors files have the embedding under a second name, too.
    """
    width, mlp = _T5_WIDTH, _T5_MLP_WIDTH
    yield "shared.weight", (_T5_VOCABULARY, width)
    if embedding_twice:
        yield "encoder.embed_tokens.weight", (_T5_VOCABULARY, width)
    for block in range(T5_LAYERS):
        layers = f"encoder.block.{block}.layer"
        for part in "qkvo":
            yield f"{layers}.0.SelfAttention.{part}.weight", (width, width)
        if block == 0:
            shape = (_T5_POSITION_BUCKETS, _T5_HEADS)
            yield f"{layers}.0.SelfAttention.relative_attention_bias.weight", shape
        yield f"{layers}.0.layer_norm.weight", (width,)
        for part in ("wi_0", "wi_1"):
            yield f"{layers}.1.DenseReluDense.{part}.weight", (mlp, width)
        yield f"{layers}.1.DenseReluDense.wo.weight", (width, mlp)
        yield f"{layers}.1.layer_norm.weight", (width,)
    yield "encoder.final_layer_norm.weight", (width,)


def _norm(name: str) -> Shapes:
    yield f"{name}.weight", (WIDTH,)
    yield f"{name}.bias", (WIDTH,)
