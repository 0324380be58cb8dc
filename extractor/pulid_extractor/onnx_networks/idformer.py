"""PuLID's IDFormer in ONNX Runtime; see the PyTorch module `idformer` for what it computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from ..eva_shape import N_SCALES
from ..idformer_shape import HEAD_DIM, WHAT_IDFORMER, IdFormerShape, idformer_shape
from ..weights import check_tensors
from .graph import GraphBuilder
from .mapping import ENCODER_NORM_EPS, mapping_part
from .part import Array, NetworkPart, OnnxWeights

__all__ = ["OnnxIdFormer"]


class OnnxIdFormer:
    """The IDFormer.

    Args:
        tensors: Named as in the published files, without the prefix.
        file: Where they come from, for errors.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: They are not an IDFormer's.

    Attributes:
        shape: Its sizes.
    """

    def __init__(
        self, tensors: Mapping[str, StoredTensor], file: Path, providers: Sequence[str]
    ) -> None:
        shape = self.shape = idformer_shape(tensors, file)
        self._identity = mapping_part(
            shape.embedding_dim, shape.id_hidden, shape.dim * shape.n_id_tokens
        )
        self._mapping = mapping_part(shape.vit_dim, shape.vit_hidden, shape.dim)
        self._layer = _layer(shape)
        self._ends = _ends(shape)
        wanted = self._identity.wanted("id_embedding_mapping.")
        wanted |= self._mapping.wanted(*(f"mapping_{scale}." for scale in range(N_SCALES)))
        wanted |= self._layer.wanted(*(f"layers.{index}." for index in range(shape.n_layers)))
        wanted |= self._ends.wanted("")
        wanted["latents"] = ((1, shape.n_queries, shape.dim), True)
        check_tensors(wanted, tensors, file, WHAT_IDFORMER)
        self._latents = tensors["latents"].float32()[0]
        del wanted["latents"]
        self._weights = OnnxWeights({name: tensors[name] for name in wanted}, file, providers)

    def tokens(self, embeddings: Array, hidden: Sequence[Array]) -> Array:
        """Identity tokens of one person.

        Args:
            embeddings: (photos, embedding_dim): for each photo the ArcFace embedding, then the
                CLIP embedding.
            hidden: The vision tower's five hidden states, each (photos * tokens, vit_dim): the
                photos' tokens one after the other.

        Returns:
            (n_queries, id_dim).

        Raises:
            ValueError: The number of hidden states is not five.
        """
        if len(hidden) != N_SCALES:
            raise ValueError(f"{len(hidden)} hidden states: expected {N_SCALES}")
        weights, shape = self._weights, self.shape
        (identity,) = self._identity.run(weights, "id_embedding_mapping.", x=embeddings)
        identity = identity.reshape(-1, shape.dim)
        latents = np.concatenate([self._latents, identity])
        per_scale = shape.n_layers // N_SCALES
        for index in range(shape.n_layers):
            if index % per_scale == 0:
                scale = index // per_scale
                (seen,) = self._mapping.run(weights, f"mapping_{scale}.", x=hidden[scale])
                context = np.concatenate([identity, seen])
            (latents,) = self._layer.run(
                weights, f"layers.{index}.", context=context, latents=latents
            )
        (tokens,) = self._ends.run(weights, "", latents=latents[: shape.n_queries])
        return tokens


def _layer(shape: IdFormerShape) -> NetworkPart:
    """Attention, and a feed-forward network after it."""
    dim, inner = shape.dim, shape.inner

    def heads(graph: GraphBuilder, value: str, order: list[int]) -> str:
        split = graph.reshape(value, -1, inner // HEAD_DIM, HEAD_DIM)
        return graph.op("Transpose", split, perm=order)

    def write(graph: GraphBuilder) -> None:
        context = graph.input("context", ["s", dim])
        latents = graph.input("latents", ["t", dim])
        normed = graph.layer_norm(latents, "0.norm2", dim, ENCODER_NORM_EPS)
        seen = graph.layer_norm(context, "0.norm1", dim, ENCODER_NORM_EPS)
        # The latents attend to themselves, too.
        seen = graph.op("Concat", seen, normed, axis=0)
        query = graph.linear(normed, "0.to_q", dim, inner, bias=False)
        query = graph.op("Mul", query, graph.scalar(HEAD_DIM**-0.5))
        both = graph.linear(seen, "0.to_kv", dim, 2 * inner, bias=False)
        key, value = graph.ops("Split", 2, both, axis=1)
        found = graph.attention(
            heads(graph, query, [1, 0, 2]),
            heads(graph, key, [1, 2, 0]),
            heads(graph, value, [1, 0, 2]),
        )
        found = graph.linear(found, "0.to_out", inner, dim, bias=False)
        latents = graph.op("Add", latents, found)
        x = graph.layer_norm(latents, "1.0", dim, ENCODER_NORM_EPS)
        x = _gelu(graph, graph.linear(x, "1.1", dim, shape.ff_dim, bias=False))
        x = graph.linear(x, "1.3", shape.ff_dim, dim, bias=False)
        graph.output(graph.op("Add", latents, x))

    return NetworkPart(write)


def _gelu(graph: GraphBuilder, x: str) -> str:
    """x times the share of a normal distribution below it."""
    error = graph.op("Erf", graph.op("Mul", x, graph.scalar(2**-0.5)))
    share = graph.op("Mul", graph.op("Add", error, graph.scalar(1)), graph.scalar(0.5))
    return graph.op("Mul", x, share)


def _ends(shape: IdFormerShape) -> NetworkPart:
    """What comes out of the latents."""

    def write(graph: GraphBuilder) -> None:
        latents = graph.input("latents", [shape.n_queries, shape.dim])
        weight = graph.weight("proj_out", shape.dim, shape.id_dim)
        graph.output(graph.op("MatMul", latents, weight))

    return NetworkPart(write)
