"""PuLID's IDFormer: what ArcFace and CLIP say about a face to identity tokens.

Learned queries and five tokens made from the ArcFace and CLIP embeddings attend, two layers for
each of the five depths of the vision tower, to that depth's tokens and to those five. Every size
is read from the weights.

PuLID-Flux and PuLID v1.1 for SDXL have it, of the same shapes: in the files of the first its
tensors are named `pulid_encoder.*`, in those of the second `id_adapter.*`.

Source: ToTheBeginning/PuLID, pulid/encoders_transformer.py (class IDFormer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .checkpoint import fill, place
from .eva_shape import N_SCALES
from .idformer_shape import HEAD_DIM, WHAT_IDFORMER, IdFormerShape, idformer_shape
from .layers import LayerNorm, Linear, attention, mapping_network

__all__ = ["IdFormer", "idformer_of"]


class _PerceiverAttention(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.heads = inner // HEAD_DIM
        self.norm1 = LayerNorm(dim)
        self.norm2 = LayerNorm(dim)
        self.to_q = Linear(dim, inner, bias=False)
        self.to_kv = Linear(dim, 2 * inner, bias=False)
        self.to_out = Linear(inner, dim, bias=False)

    def forward(self, context: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """(n, s, dim) and (n, t, dim) -> (n, t, dim); the latents attend to themselves too."""
        latents = self.norm2(latents)
        seen = torch.cat([self.norm1(context), latents], dim=1)
        key, value = self.to_kv(seen).chunk(2, dim=-1)
        return self.to_out(attention(self.to_q(latents), key, value, self.heads))


def _feed_forward(dim: int, inner: int) -> nn.Sequential:
    return nn.Sequential(
        LayerNorm(dim), Linear(dim, inner, bias=False), nn.GELU(), Linear(inner, dim, bias=False)
    )


class IdFormer(nn.Module):
    """The IDFormer. Parameters are named as in the published files, without the prefix."""

    def __init__(self, shape: IdFormerShape) -> None:
        super().__init__()
        self.shape = shape
        self.latents = nn.Parameter(torch.empty(1, shape.n_queries, shape.dim))
        self.proj_out = nn.Parameter(torch.empty(shape.dim, shape.id_dim))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    _PerceiverAttention(shape.dim, shape.inner),
                    _feed_forward(shape.dim, shape.ff_dim),
                ]
            )
            for _ in range(shape.n_layers)
        )
        for scale in range(N_SCALES):
            self.add_module(
                f"mapping_{scale}", mapping_network(shape.vit_dim, shape.vit_hidden, shape.dim)
            )
        self.id_embedding_mapping = mapping_network(
            shape.embedding_dim, shape.id_hidden, shape.dim * shape.n_id_tokens
        )

    @torch.inference_mode()
    def forward(self, embeddings: torch.Tensor, hidden: Sequence[torch.Tensor]) -> torch.Tensor:
        """Identity tokens of one person.

        Args:
            embeddings: (1, photos, embedding_dim): for each photo the ArcFace embedding, then
                the CLIP embedding. Its dtype is the dtype of the computation.
            hidden: The vision tower's five hidden states, each (1, photos * tokens, vit_dim):
                the photos' tokens one after the other.

        Returns:
            (1, n_queries, id_dim).

        Raises:
            ValueError: The number of hidden states is not five.
        """
        if len(hidden) != N_SCALES:
            raise ValueError(f"{len(hidden)} hidden states: expected {N_SCALES}")
        dtype = embeddings.dtype
        identity = self.id_embedding_mapping(embeddings)
        identity = identity.reshape(len(embeddings), -1, self.shape.dim)
        latents = self.latents.to(dtype).expand(len(embeddings), -1, -1)
        latents = torch.cat([latents, identity], dim=1)
        per_scale = len(self.layers) // N_SCALES
        for index, layer in enumerate(self.layers):
            if index % per_scale == 0:
                scale = index // per_scale
                seen = self.get_submodule(f"mapping_{scale}")(hidden[scale])
                context = torch.cat([identity, seen], dim=1)
            attend, feed_forward = layer.children()
            latents = latents + attend(context, latents)
            latents = latents + feed_forward(latents)
        return latents[:, : self.shape.n_queries] @ self.proj_out.to(dtype)

    def unconditional(self, dtype: torch.dtype, n_vit_tokens: int) -> torch.Tensor:
        """The identity of nobody: the same network on zeros, as for one photo.

        Args:
            dtype: What to compute in.
            n_vit_tokens: Tokens of the vision tower, CLS included (577); the zeros count in
                the softmax, so their number matters.

        Returns:
            (1, n_queries, id_dim).
        """
        device = self.latents.device
        nothing = torch.zeros(1, 1, self.shape.embedding_dim, dtype=dtype, device=device)
        blank = torch.zeros(1, n_vit_tokens, self.shape.vit_dim, dtype=dtype, device=device)
        return self(nothing, [blank] * N_SCALES)


def idformer_of(
    tensors: Mapping[str, StoredTensor], file: Path, *, device: torch.device, dtype: torch.dtype
) -> IdFormer:
    """Build an IDFormer out of its tensors.

    Args:
        tensors: Named as in the published files, without the prefix.
        file: Where they come from, for errors.
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        ModelFileError: They are not an IDFormer's.
    """
    shape = idformer_shape(tensors, file)
    with torch.device("meta"):
        network = IdFormer(shape)
    fill(network, tensors, file, WHAT_IDFORMER)
    place(network, device, dtype)
    return network
