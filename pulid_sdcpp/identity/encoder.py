"""Which of PuLID's encoders made an identity, as its file says it.

The shape of the tokens does not tell: those for Flux and those for SDXL v1.1 are both (32, 2048).
Nor does the hash of the weights: the same encoder is published under several names and in several
types. So `pulid.encoder` in an identity file names it; a file without it is for Flux.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from ..errors import ModelMismatchError
from ..terminal_text import alternatives, shown

__all__ = [
    "ENCODERS",
    "ENCODER_KEY",
    "EXTRACTION_PARTS",
    "FLUX",
    "SDXL_V1",
    "SDXL_V1_1",
    "SDXL_V1_TOKENS",
    "Encoder",
    "check_encoder",
    "check_encoder_fits",
    "encoder_words",
    "models_of_encoder",
]

Encoder: TypeAlias = Literal["flux", "sdxl-v1", "sdxl-v1.1"]
"""flux: PuLID-Flux v0.9.0, v0.9.1. sdxl-v1: 10 tokens a photo. sdxl-v1.1: 32 tokens."""

FLUX: Encoder = "flux"
SDXL_V1: Encoder = "sdxl-v1"
SDXL_V1_1: Encoder = "sdxl-v1.1"
SDXL_V1_TOKENS = 10
"""Of one photo."""
ENCODERS: tuple[Encoder, ...] = (FLUX, SDXL_V1, SDXL_V1_1)

ENCODER_KEY = "encoder"
"""In an identity's metadata."""

_WORDS = {FLUX: "PuLID for Flux", SDXL_V1: "PuLID v1 for SDXL", SDXL_V1_1: "PuLID v1.1 for SDXL"}


EXTRACTION_PARTS: Mapping[str, str] = {
    FLUX: "extraction",
    SDXL_V1: "extraction-sdxl-v1",
    SDXL_V1_1: "extraction-sdxl",
}
"""What `extract --preset` takes to make such an identity, by encoder."""
_MODELS = {FLUX: "Flux", SDXL_V1: "SDXL v1", SDXL_V1_1: "SDXL v1.1"}


def check_encoder(encoder: object) -> Encoder:
    """The same, when it is one.

    Raises:
        ValueError: It is none.
    """
    if encoder not in ENCODERS:
        raise ValueError(f"encoder {shown(encoder)}: expected {alternatives(ENCODERS)}")
    return encoder


def encoder_words(encoder: str) -> str:
    """An encoder's name for people: "PuLID v1.1 for SDXL"."""
    return _WORDS[check_encoder(encoder)]


def models_of_encoder(encoder: str) -> str:
    """For which models an identity is, for people: "Flux", "SDXL v1.1"."""
    return _MODELS[check_encoder(encoder)]


def check_encoder_fits(found: str, expected: Sequence[str], weights: object) -> None:
    """Refuse an identity of another encoder than those that weights work with.

    Args:
        found: `Identity.encoder`.
        expected: The encoders that fit, one or more.
        weights: The weights' file, for the message.

    Raises:
        ModelMismatchError: It is none of them.
    """
    if found not in expected:
        wanted = alternatives(list(map(encoder_words, expected)))
        raise ModelMismatchError(
            f"{weights}: expected an identity made by {wanted}, found one made by "
            f"{encoder_words(found)}; extract it again for these weights: --preset "
            f"{alternatives([EXTRACTION_PARTS[check_encoder(one)] for one in expected])}"
        )
