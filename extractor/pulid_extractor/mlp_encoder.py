"""PuLID v1's encoder for SDXL: what ArcFace and CLIP say about a face to identity tokens.

Five tokens are made of the ArcFace and CLIP embeddings, and one of each of the five depths of the
vision tower: of its CLS token, plus the mean of what a second network makes of its patches. Every
size is read from the weights.

Source: ToTheBeginning/PuLID, pulid/encoders.py (class IDEncoder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from pulid_sdcpp.errors import ModelFileError

from .checkpoint import fill, place, shape_of
from .eva_vision import N_SCALES
from .layers import mapping_network

__all__ = ["MlpEncoder", "MlpEncoderShape", "mlp_encoder_of"]

WHAT = "encoder of PuLID v1 for SDXL"


@dataclass(frozen=True)
class MlpEncoderShape:
    """Sizes of v1's encoder, the published ones in brackets.

    Args:
        id_dim: Width of an identity token (2048).
        n_id_tokens: Tokens made of a photo's embeddings (5).
        embedding_dim: ArcFace and CLIP embedding together (1280 = 512 + 768).
        id_hidden: Width inside the network of the embeddings (1024).
        vit_dim: Width of the vision tower's tokens (1024).
        vit_hidden: Width inside their networks (1024).
    """

    id_dim: int
    n_id_tokens: int
    embedding_dim: int
    id_hidden: int
    vit_dim: int
    vit_hidden: int

    @property
    def n_tokens(self) -> int:
        """Identity tokens of one photo (10)."""
        return self.n_id_tokens + N_SCALES


class MlpEncoder(nn.Module):
    """v1's encoder. Parameters are named as in the published file, without `id_adapter.`."""

    def __init__(self, shape: MlpEncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.body = mapping_network(
            shape.embedding_dim, shape.id_hidden, shape.n_id_tokens * shape.id_dim
        )
        for scale in range(N_SCALES):
            for name in ("mapping", "mapping_patch"):
                network = mapping_network(shape.vit_dim, shape.vit_hidden, shape.id_dim)
                self.add_module(f"{name}_{scale}", network)

    @torch.inference_mode()
    def forward(self, embeddings: torch.Tensor, hidden: Sequence[torch.Tensor]) -> torch.Tensor:
        """Identity tokens, of each photo by itself.

        Args:
            embeddings: (photos, embedding_dim): the ArcFace embedding, then the CLIP embedding.
                Its dtype is the dtype of the computation.
            hidden: The vision tower's five hidden states, each (photos, 1 + patches, vit_dim), CLS
                first.

        Returns:
            (photos, n_id_tokens + 5, id_dim): those of the embeddings, then one for each depth.

        Raises:
            ValueError: The number of hidden states is not five.
        """
        if len(hidden) != N_SCALES:
            raise ValueError(f"{len(hidden)} hidden states: expected {N_SCALES}")
        tokens = self.body(embeddings).unflatten(-1, (self.shape.n_id_tokens, -1))
        seen = [tokens]
        for scale, state in enumerate(hidden):
            cls = self.get_submodule(f"mapping_{scale}")(state[:, :1])
            patches = self.get_submodule(f"mapping_patch_{scale}")(state[:, 1:])
            seen.append(cls + patches.mean(dim=1, keepdim=True))
        return torch.cat(seen, dim=1)


def mlp_encoder_of(
    tensors: Mapping[str, torch.Tensor], file: Path, *, device: torch.device, dtype: torch.dtype
) -> MlpEncoder:
    """Build v1's encoder out of its tensors.

    Args:
        tensors: Named as in the published file, without `id_adapter.`.
        file: Where they come from, for errors.
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        ModelFileError: They are not such an encoder's.
    """
    shape = _shape_of(tensors, file)
    with torch.device("meta"):
        network = MlpEncoder(shape)
    fill(network, tensors, file, WHAT)
    place(network, device, dtype)
    return network


def _shape_of(tensors: Mapping[str, torch.Tensor], file: Path) -> MlpEncoderShape:
    dims = partial(shape_of, tensors, file, WHAT)
    id_dim = dims("mapping_0.6.weight", 2)[0]
    rows = dims("body.6.weight", 2)[0]
    if not id_dim or rows % id_dim or not rows:
        raise ModelFileError(
            f"{file}: expected the {WHAT} with whole tokens of {id_dim} numbers, found {rows} rows "
            "in body.6.weight"
        )
    return MlpEncoderShape(
        id_dim=id_dim,
        n_id_tokens=rows // id_dim,
        embedding_dim=dims("body.0.weight", 2)[1],
        id_hidden=dims("body.0.weight", 2)[0],
        vit_dim=dims("mapping_0.0.weight", 2)[1],
        vit_hidden=dims("mapping_0.0.weight", 2)[0],
    )
