"""PuLID's encoders behind one call: what was seen in one or several photos to identity tokens.

How several photos of a person are joined is each version's own.

Source: ToTheBeginning/PuLID, app.py (run: tokens side by side), pulid/pipeline_flux.py and
pulid/pipeline_v1_1.py (get_id_embedding: the encoder reads all).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pulid_sdcpp.identity.encoder import SDXL_V1, Encoder
from pulid_sdcpp.identity.fusion import Fusion

from .encoder_tensors import read_encoder_tensors
from .eva_shape import N_SCALES
from .idformer import IdFormer, idformer_of
from .mlp_encoder import MlpEncoder, mlp_encoder_of

__all__ = ["FaceEncoder", "SeenFace", "load_encoder"]


@dataclass(frozen=True, eq=False)
class SeenFace:
    """What the networks before the encoder say about the face in one photo.

    Attributes:
        embedding: (1, embedding_dim): the ArcFace embedding, then the CLIP embedding.
        hidden: The vision tower's five hidden states, each (1, tokens, vit_dim), CLS first.
    """

    embedding: torch.Tensor
    hidden: Sequence[torch.Tensor]


class FaceEncoder:
    """One of PuLID's encoders.

    Args:
        encoder: Which one.
        network: Its network.

    Attributes:
        encoder: Which one.
        network: Its network.
        embedding_dim: Width of the embedding that it reads.
        vit_dim: Width of the hidden states that it reads.
    """

    def __init__(self, encoder: Encoder, network: IdFormer | MlpEncoder) -> None:
        self.encoder = encoder
        self.network = network
        self.embedding_dim = network.shape.embedding_dim
        self.vit_dim = network.shape.vit_dim

    def tokens(self, faces: Sequence[SeenFace], fusion: Fusion) -> torch.Tensor:
        """The identity tokens of one person.

        Args:
            faces: Of one or several photos, the most important one first.
            fusion: As `resolved_fusion` gives it for this encoder; for one photo all are the same.

        Returns:
            (n, id_dim) float32.
        """
        if isinstance(self.network, IdFormer) and fusion == "idformer":
            return self._idformer(self.network, faces)
        each = [self._of_one(face) for face in faces]
        if fusion == "mean":
            return torch.stack(each).mean(dim=0)
        return self._side_by_side(each, fusion)

    def unconditional(
        self, n_faces: int, fusion: Fusion, n_vit_tokens: int, dtype: torch.dtype
    ) -> torch.Tensor:
        """The tokens of nobody: the network on zeros, joined as those of `n_faces` photos.

        What an IDFormer reads is zeros for one photo, however many there are.

        Args:
            n_faces: How many photos.
            fusion: How they are joined.
            n_vit_tokens: Tokens of the vision tower, CLS included (577).
            dtype: What to compute in.

        Returns:
            (n, id_dim) float32, of the shape of `tokens`.
        """
        device = next(self.network.parameters()).device
        nobody = SeenFace(
            torch.zeros(1, self.embedding_dim, dtype=dtype, device=device),
            [torch.zeros(1, n_vit_tokens, self.vit_dim, dtype=dtype, device=device)] * N_SCALES,
        )
        tokens = self._of_one(nobody)
        if fusion in ("idformer", "mean"):
            return tokens
        return self._side_by_side([tokens] * n_faces, fusion)

    def _of_one(self, face: SeenFace) -> torch.Tensor:
        if isinstance(self.network, IdFormer):
            return self._idformer(self.network, [face])
        return self.network(face.embedding, face.hidden)[0].float()

    @staticmethod
    def _idformer(network: IdFormer, faces: Sequence[SeenFace]) -> torch.Tensor:
        """Embeddings side by side, vision tokens in a row."""
        embeddings = torch.stack([face.embedding for face in faces], dim=1)
        hidden = [
            torch.cat(scale, dim=1) for scale in zip(*(face.hidden for face in faces), strict=True)
        ]
        return network(embeddings, hidden)[0].float()

    def _side_by_side(self, each: Sequence[torch.Tensor], fusion: Fusion) -> torch.Tensor:
        """All tokens of the first photo; of each further one those of its embeddings, or all."""
        if not isinstance(self.network, MlpEncoder):
            raise ValueError(f"fusion {fusion} is for PuLID v1 for SDXL")
        first, *further = each
        count = len(first) if fusion == "mix" else self.network.shape.n_id_tokens
        return torch.cat([first, *(tokens[:count] for tokens in further)])


def load_encoder(
    path: str | os.PathLike[str], *, device: torch.device, dtype: torch.dtype
) -> FaceEncoder:
    """Load the encoder out of PuLID's weights; the cross-attention is not kept.

    Args:
        path: `pulid_flux_v0.9.1.safetensors`, `pulid_v1.1.safetensors`,
            `ip-adapter_pulid_sdxl_fp16.safetensors`, `pulid_v1.bin`, ...
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        ModelFileError: Not such a file.
    """
    found = read_encoder_tensors(path)
    build = mlp_encoder_of if found.encoder == SDXL_V1 else idformer_of
    network = build(found.tensors, found.file, device=device, dtype=dtype)
    return FaceEncoder(found.encoder, network)
