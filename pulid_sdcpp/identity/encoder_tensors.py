"""Which of PuLID's encoders a weights file has, told by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable

from ..tensors.sdxl_pulid_names import ENCODER_PREFIX, original_names, weights_version
from .encoder import FLUX, SDXL_V1, SDXL_V1_1, Encoder

__all__ = ["FLUX_PREFIX", "encoder_of_tensors"]

FLUX_PREFIX = "pulid_encoder."
"""Of the encoder's tensors in PuLID's weights for Flux."""

_BY_VERSION: dict[str, Encoder] = {"v1": SDXL_V1, "v1.1": SDXL_V1_1}


def encoder_of_tensors(names: Iterable[str]) -> Encoder | None:
    """The encoder in a file.

    Args:
        names: Of its tensors, under whichever spelling.

    Returns:
        None: It has none, or parts of several.
    """
    originals = original_names(names)
    if any(name.startswith(FLUX_PREFIX) for name in originals):
        for_sdxl = any(name.startswith(ENCODER_PREFIX) for name in originals)
        return None if for_sdxl else FLUX
    version = weights_version(originals)
    return None if version is None else _BY_VERSION[version]
