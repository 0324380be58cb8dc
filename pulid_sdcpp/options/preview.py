"""How a picture is shown while it is made."""

from __future__ import annotations

__all__ = ["PREVIEW_METHODS"]

PREVIEW_METHODS = ("proj", "tae", "vae")
"""A projection of the latents at an eighth of the size; or decoded, by the autoencoder loaded."""
