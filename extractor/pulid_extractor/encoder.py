"""PuLID's encoders behind one call: what was seen in one or several photos to identity tokens.

How several photos of a person are joined is each version's own.

Source: ToTheBeginning/PuLID, app.py (run: tokens side by side), pulid/pipeline_flux.py and
pulid/pipeline_v1_1.py (get_id_embedding: the encoder reads all).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.identity.encoder import SDXL_V1, Encoder
from pulid_sdcpp.identity.fusion import Fusion

from .eva_shape import N_SCALES
from .networks import EncoderNetwork

__all__ = ["FaceEncoder", "SeenFace"]

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SeenFace:
    """What the networks before the encoder say about the face in one photo.

    Attributes:
        embedding: (1, embedding_dim): the ArcFace embedding, then the CLIP embedding.
        hidden: The vision tower's five hidden states, each (tokens, vit_dim), CLS first.
    """

    embedding: Array
    hidden: Sequence[Array]


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

    def __init__(self, encoder: Encoder, network: EncoderNetwork) -> None:
        self.encoder = encoder
        self.network = network
        self.embedding_dim = network.shape.embedding_dim
        self.vit_dim = network.shape.vit_dim

    def tokens(self, faces: Sequence[SeenFace], fusion: Fusion) -> Array:
        """The identity tokens of one person.

        Args:
            faces: Of one or several photos, the most important one first.
            fusion: As `resolved_fusion` gives it for this encoder; for one photo all are the same.

        Returns:
            (n, id_dim) float32.
        """
        if self.encoder != SDXL_V1 and fusion == "idformer":
            return self._together(faces)
        each = [self._of_one(face) for face in faces]
        if fusion == "mean":
            return np.mean(each, axis=0, dtype=np.float32)
        return self._side_by_side(each, fusion)

    def unconditional(self, n_faces: int, fusion: Fusion, n_vit_tokens: int) -> Array:
        """The tokens of nobody: the network on zeros, joined as those of `n_faces` photos.

        What an IDFormer reads is zeros for one photo, however many there are.

        Args:
            n_faces: How many photos.
            fusion: How they are joined.
            n_vit_tokens: Tokens of the vision tower, CLS included (577); the zeros count in the
                softmax, so their number matters.

        Returns:
            (n, id_dim) float32, of the shape of `tokens`.
        """
        blank = np.zeros((n_vit_tokens, self.vit_dim), np.float32)
        nobody = SeenFace(np.zeros((1, self.embedding_dim), np.float32), [blank] * N_SCALES)
        tokens = self._of_one(nobody)
        if fusion in ("idformer", "mean"):
            return tokens
        return self._side_by_side([tokens] * n_faces, fusion)

    def _of_one(self, face: SeenFace) -> Array:
        return self.network.tokens(face.embedding, face.hidden)

    def _together(self, faces: Sequence[SeenFace]) -> Array:
        """Embeddings one below the other, vision tokens in a row."""
        embeddings = np.concatenate([face.embedding for face in faces])
        scales = zip(*(face.hidden for face in faces), strict=True)
        return self.network.tokens(embeddings, [np.concatenate(scale) for scale in scales])

    def _side_by_side(self, each: Sequence[Array], fusion: Fusion) -> Array:
        """All tokens of the first photo; of each further one those of its embeddings, or all."""
        if self.encoder != SDXL_V1:
            raise ValueError(f"fusion {fusion} is for PuLID v1 for SDXL")
        first, *further = each
        count = len(first) if fusion == "mix" else self.network.shape.n_id_tokens
        return np.concatenate([first, *(tokens[:count] for tokens in further)])
