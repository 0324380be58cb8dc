"""The EVA02-CLIP vision tower in ONNX Runtime; see `eva_vision` for what it computes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..eva_shape import EVA_NORM_EPS, WHAT_EVA, EvaShape, read_eva, rope_angles
from ..weights import check_tensors
from .graph import GraphBuilder
from .part import Array, NetworkPart, OnnxWeights

__all__ = ["OnnxEva", "load_onnx_eva"]


class OnnxEva:
    """The vision tower.

    Args:
        shape: Its sizes.
        weights: Under timm's names.
        parts: What is before the blocks, a block, and what is after them.
    """

    def __init__(
        self, shape: EvaShape, weights: OnnxWeights, parts: tuple[NetworkPart, ...]
    ) -> None:
        self.shape = shape
        self._weights = weights
        self._stem, self._block, self._head = parts

    def look(self, picture: Array) -> tuple[Array, list[Array]]:
        """Look at a picture.

        Args:
            picture: (3, image_px, image_px), normalised with CLIP_MEAN and CLIP_STD.

        Returns:
            The CLIP embedding (embedding_dim,), of the length 1, and five hidden states
            (1 + grid**2, width), the CLS token first, not normalised.
        """
        (x,) = self._stem.run(self._weights, "", picture=picture[None])
        hidden = []
        for index in range(self.shape.depth):
            if index in self.shape.hidden_blocks:
                hidden.append(x)
            (x,) = self._block.run(self._weights, f"blocks.{index}.", x=x)
        (embedding,) = self._head.run(self._weights, "", cls=x[:1])
        return embedding[0] / np.linalg.norm(embedding[0]), hidden


def load_onnx_eva(
    path: str | os.PathLike[str], providers: Sequence[str] = ("CPUExecutionProvider",)
) -> OnnxEva:
    """Load the vision tower.

    Args:
        path: See `read_eva`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: Not such a file.
    """
    shape, tensors = read_eva(path)
    parts = _parts(shape)
    stem, block, head = parts
    wanted = stem.wanted("") | head.wanted("")
    wanted |= block.wanted(*(f"blocks.{index}." for index in range(shape.depth)))
    check_tensors(wanted, tensors, Path(path), WHAT_EVA)
    kept = {name: tensors[name] for name in wanted}
    return OnnxEva(shape, OnnxWeights(kept, Path(path), providers), parts)


def _parts(shape: EvaShape) -> tuple[NetworkPart, NetworkPart, NetworkPart]:
    width, tokens, heads = shape.width, 1 + shape.grid**2, shape.heads

    def stem(graph: GraphBuilder) -> None:
        side, patch = shape.image_px, shape.patch_px
        picture = graph.input("picture", [1, 3, side, side])
        weight = graph.weight("patch_embed.proj.weight", width, 3, patch, patch)
        bias = graph.weight("patch_embed.proj.bias", width)
        patches = graph.op("Conv", picture, weight, bias, strides=[patch, patch])
        patches = graph.op("Transpose", graph.reshape(patches, width, -1), perm=[1, 0])
        cls = graph.reshape(graph.weight("cls_token", 1, 1, width), 1, width)
        x = graph.op("Concat", cls, patches, axis=0)
        places = graph.reshape(graph.weight("pos_embed", 1, tokens, width), tokens, width)
        graph.output(graph.op("Add", x, places))

    def block(graph: GraphBuilder) -> None:
        x = graph.input("x", [tokens, width])
        seen = graph.layer_norm(x, "norm1", width, EVA_NORM_EPS)
        query = graph.linear(seen, "attn.q_proj", width, width)
        key = graph.linear(seen, "attn.k_proj", width, width, bias=False)
        value = graph.linear(seen, "attn.v_proj", width, width)
        query, key = (_turned(graph, part, shape) for part in (query, key))
        query = graph.op("Mul", query, graph.scalar(shape.head_dim**-0.5))
        key = graph.op("Transpose", key, perm=[0, 2, 1])
        value = graph.reshape(value, tokens, heads, shape.head_dim)
        value = graph.op("Transpose", value, perm=[1, 0, 2])
        seen = graph.attention(query, key, value)
        seen = graph.layer_norm(seen, "attn.norm", width, EVA_NORM_EPS)
        x = graph.op("Add", x, graph.linear(seen, "attn.proj", width, width))
        seen = graph.layer_norm(x, "norm2", width, EVA_NORM_EPS)
        gate = graph.linear(seen, "mlp.fc1_g", width, shape.mlp_dim)
        gate = graph.op("Mul", gate, graph.op("Sigmoid", gate))
        inner = graph.op("Mul", gate, graph.linear(seen, "mlp.fc1_x", width, shape.mlp_dim))
        inner = graph.layer_norm(inner, "mlp.norm", shape.mlp_dim, EVA_NORM_EPS)
        graph.output(graph.op("Add", x, graph.linear(inner, "mlp.fc2", shape.mlp_dim, width)))

    def head(graph: GraphBuilder) -> None:
        cls = graph.layer_norm(graph.input("cls", [1, width]), "norm", width, EVA_NORM_EPS)
        graph.output(graph.linear(cls, "head", width, shape.embedding_dim))

    return NetworkPart(stem), NetworkPart(block), NetworkPart(head)


def _turned(graph: GraphBuilder, value: str, shape: EvaShape) -> str:
    """Rotary positions: (tokens, width) -> (heads, tokens, head_dim).

    A pair (a, b) of neighbours becomes (a cos - b sin, b cos + a sin): the value times cos, plus
    its neighbours, one of them with its sign changed, times sin. A matrix of 0, 1 and -1 changes
    neighbours, exactly.
    """
    dim = shape.head_dim
    angles = np.repeat(rope_angles(shape.grid, dim), 2, axis=1)
    neighbours = np.zeros((dim, dim), np.float32)
    even = np.arange(0, dim, 2)
    neighbours[even + 1, even] = -1
    neighbours[even, even + 1] = 1
    value = graph.reshape(value, 1 + shape.grid**2, shape.heads, dim)
    value = graph.op("Transpose", value, perm=[1, 0, 2])
    turned = graph.op("MatMul", value, graph.constant(neighbours))
    turned = graph.op("Mul", turned, graph.constant(np.sin(angles)))
    return graph.op("Add", graph.op("Mul", value, graph.constant(np.cos(angles))), turned)
