"""PuLID weights and the model they are for: those of Flux, or those of SDXL."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

from ..errors import ModelMismatchError, named, option_error
from ..families.flux.layout import FluxInfo
from ..families.flux.pulid_weights import PulidWeights
from ..families.sdxl.pulid_weights import SdxlPulidWeights
from ..families.sdxl.unet_layout import UnetInfo
from ..model_files.description import describe_file
from .flux_identities import FluxIdentities
from .identity_slots import IdentityLayers
from .unet_identities import UnetIdentities

__all__ = [
    "AnyPulidWeights",
    "KnownModel",
    "check_weights_match",
    "encoders_of",
    "family_of",
    "identity_layers",
    "open_pulid_weights",
]

AnyPulidWeights: TypeAlias = PulidWeights | SdxlPulidWeights
KnownModel: TypeAlias = FluxInfo | UnetInfo

_UNET_DTYPES = ("f16", "f32")


def open_pulid_weights(path: str | os.PathLike[str], dtype: str) -> AnyPulidWeights:
    """Open PuLID weights for Flux or for SDXL, whichever they are.

    Args:
        dtype: How the engine is to keep an identity.

    Raises:
        ModelFileError: They are neither, or damaged.
        ValueError: Identities of theirs cannot be kept in this type.
    """
    if describe_file(path).kind != "pulid-sdxl":
        return PulidWeights(path)  # refuses what it is not, by name
    if dtype not in _UNET_DTYPES:
        raise option_error(
            f"{named('pulid_dtype')} is {dtype!r}, but an identity in SDXL is kept as f16 or f32"
        )
    return SdxlPulidWeights(path)


def check_weights_match(weights: AnyPulidWeights, model: KnownModel) -> None:
    """Refuse weights that were made for another model, and weights of zeros.

    Raises:
        ModelMismatchError: They were made for another.
        ModelFileError: They are zeros.
    """
    if isinstance(weights, SdxlPulidWeights) != isinstance(model, UnetInfo):
        wanted, found = ("SDXL", "Flux") if isinstance(model, FluxInfo) else ("Flux", "SDXL")
        raise ModelMismatchError(
            f"{weights.path} is PuLID for {wanted}, {model.path} is a model of {found}"
        )
    weights.check_matches(model)  # type: ignore[arg-type]  # both are of one family
    weights.check_data()


def family_of(weights: AnyPulidWeights | None) -> Literal["flux", "sdxl"] | None:
    """The kind of model that weights are for; None for none."""
    if weights is None:
        return None
    return "sdxl" if isinstance(weights, SdxlPulidWeights) else "flux"


def encoders_of(weights: AnyPulidWeights) -> tuple[str, ...]:
    """Names of the encoders whose identities the weights work with (`identity/encoder.py`)."""
    return weights.encoders if isinstance(weights, SdxlPulidWeights) else ("flux",)


def identity_layers(
    context: Any, weights: AnyPulidWeights, model: KnownModel, dtype: Any, cache_limit_bytes: int
) -> IdentityLayers:
    """The layers that identities are folded into; on the engine's thread.

    Args:
        context: The engine's `sd_ctx_t*`.
        weights, model: They belong together (`check_weights_match`).
        dtype, cache_limit_bytes: As those of the layers.

    Raises:
        GenerationError: The engine cannot take them.
    """
    if isinstance(weights, SdxlPulidWeights):
        assert isinstance(model, UnetInfo)  # as checked
        return UnetIdentities(context, weights, model, dtype, cache_limit_bytes)
    assert isinstance(model, FluxInfo)
    return FluxIdentities(context, weights, model, dtype, cache_limit_bytes)
