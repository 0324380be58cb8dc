"""PuLID v1's encoder for SDXL: what ArcFace and CLIP say about a face to identity tokens.

Five tokens are made of the ArcFace and CLIP embeddings, and one of each of the five depths of the
vision tower: of its CLS token, plus the mean of what a second network makes of its patches. Every
size is read from the weights.

Source: ToTheBeginning/PuLID, pulid/encoders.py (class IDEncoder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .checkpoint import fill, place
from .eva_shape import N_SCALES
from .layers import mapping_network
from .mlp_encoder_shape import WHAT_MLP_ENCODER, MlpEncoderShape, mlp_encoder_shape

__all__ = ["MlpEncoder", "mlp_encoder_of"]


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
    tensors: Mapping[str, StoredTensor], file: Path, *, device: torch.device, dtype: torch.dtype
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
    shape = mlp_encoder_shape(tensors, file)
    with torch.device("meta"):
        network = MlpEncoder(shape)
    fill(network, tensors, file, WHAT_MLP_ENCODER)
    place(network, device, dtype)
    return network
