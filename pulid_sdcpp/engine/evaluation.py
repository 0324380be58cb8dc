"""One evaluation of the diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..native.calls import NativeFailure
from ..native.library import last_error, library

__all__ = ["evaluated"]


def evaluated(
    context: Any,
    arrays: Sequence[NDArray[np.float32]],
    timestep: float,
    guidance: float,
    step: int,
    negative: bool,
) -> NDArray[np.float32]:
    """What the model makes of its inputs; on the engine's thread.

    Args:
        context: The engine's `sd_ctx_t*`.
        arrays: Latent (channels, height, width), text (tokens, width), pooled vector (width,), all
            C-contiguous float32.
        timestep, guidance, step, negative: As those of `StableDiffusion.evaluate`.

    Returns:
        float32, in the shape of the latent.

    Raises:
        NativeFailure: The engine failed.
    """
    latent, text, pooled = arrays
    result = np.empty_like(latent)
    channels, height, width = latent.shape
    done = library().pulid_evaluate(
        *(context, latent.ctypes.data, width, height, channels, timestep),
        *(text.ctypes.data, *text.shape, pooled.ctypes.data, len(pooled)),
        *(guidance, step, negative, result.ctypes.data),
    )
    if not done:
        raise NativeFailure(last_error())
    return result
