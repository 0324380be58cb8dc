"""PuLID v1's encoder for SDXL in ONNX Runtime; see the PyTorch module `mlp_encoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from ..eva_shape import N_SCALES
from ..mlp_encoder_shape import WHAT_MLP_ENCODER, mlp_encoder_shape
from ..weights import check_tensors
from .mapping import mapping_part
from .part import Array, OnnxWeights

__all__ = ["OnnxMlpEncoder"]


class OnnxMlpEncoder:
    """v1's encoder.

    Args:
        tensors: Named as in the published file, without `id_adapter.`.
        file: Where they come from, for errors.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: They are not such an encoder's.

    Attributes:
        shape: Its sizes.
    """

    def __init__(
        self, tensors: Mapping[str, StoredTensor], file: Path, providers: Sequence[str]
    ) -> None:
        shape = self.shape = mlp_encoder_shape(tensors, file)
        self._body = mapping_part(
            shape.embedding_dim, shape.id_hidden, shape.n_id_tokens * shape.id_dim
        )
        self._mapping = mapping_part(shape.vit_dim, shape.vit_hidden, shape.id_dim)
        scales = range(N_SCALES)
        wanted = self._body.wanted("body.") | self._mapping.wanted(
            *(f"{name}_{scale}." for name in ("mapping", "mapping_patch") for scale in scales)
        )
        check_tensors(wanted, tensors, file, WHAT_MLP_ENCODER)
        self._weights = OnnxWeights({name: tensors[name] for name in wanted}, file, providers)

    def tokens(self, embedding: Array, hidden: Sequence[Array]) -> Array:
        """Identity tokens of one photo.

        Args:
            embedding: (1, embedding_dim): the ArcFace embedding, then the CLIP embedding.
            hidden: The vision tower's five hidden states, each (1 + patches, vit_dim), CLS first.

        Returns:
            (n_id_tokens + 5, id_dim): those of the embedding, then one for each depth.

        Raises:
            ValueError: The number of hidden states is not five.
        """
        if len(hidden) != N_SCALES:
            raise ValueError(f"{len(hidden)} hidden states: expected {N_SCALES}")
        (body,) = self._body.run(self._weights, "body.", x=embedding)
        seen = [body.reshape(self.shape.n_id_tokens, -1)]
        for scale, state in enumerate(hidden):
            (cls,) = self._mapping.run(self._weights, f"mapping_{scale}.", x=state[:1])
            (rest,) = self._mapping.run(self._weights, f"mapping_patch_{scale}.", x=state[1:])
            seen.append(cls + rest.mean(axis=0, keepdims=True))
        return np.concatenate(seen)
