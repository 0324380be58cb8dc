"""How several photos of one person become one identity."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

from ..terminal_text import alternatives, shown
from .encoder import FLUX, SDXL_V1, SDXL_V1_1, Encoder, encoder_words

__all__ = ["DEFAULT_FUSION", "FUSIONS", "FUSION_HELP", "Fusion", "check_fusion", "resolved_fusion"]

Fusion: TypeAlias = Literal["auto", "idformer", "mean", "concat", "mix"]
"""auto: what PuLID's own code does: idformer, or concat with v1 for SDXL. idformer: the encoder
reads all photos at once. mean: of the photos' own identities. concat: v1 for SDXL: all tokens of
the first photo, and of each further one the five of its embeddings. mix: all tokens of all."""

FUSIONS = ("auto", "idformer", "mean", "concat", "mix")

DEFAULT_FUSION: Fusion = "auto"

FUSION_HELP = (
    "How several photos become one identity: auto: as PuLID's own code does; idformer: the encoder "
    "reads them together (Flux, SDXL v1.1); concat: their tokens side by side (SDXL v1), mix: with "
    "all of every photo; mean: the mean of their identities."
)

_OF_ENCODER: dict[Encoder, tuple[Fusion, ...]] = {
    FLUX: ("idformer", "mean"),
    SDXL_V1: ("concat", "mix", "mean"),
    SDXL_V1_1: ("idformer", "mean"),
}
"""The first is what "auto" means."""


def check_fusion(fusion: object) -> Fusion:
    """The same, when it is one.

    Raises:
        ValueError: It is none.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion {shown(fusion)}: expected {alternatives(FUSIONS)}")
    return cast(Fusion, fusion)


def resolved_fusion(fusion: Fusion, encoder: Encoder) -> Fusion:
    """What a fusion means with an encoder; never "auto".

    Raises:
        ValueError: The encoder cannot do it.
    """
    offered = _OF_ENCODER[encoder]
    if fusion == "auto":
        return offered[0]
    if fusion not in offered:
        raise ValueError(
            f"fusion {fusion}: {encoder_words(encoder)} joins photos by {alternatives(offered)}"
        )
    return fusion
