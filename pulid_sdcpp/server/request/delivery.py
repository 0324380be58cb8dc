"""What a request says of its pictures' delivery; it changes no pixel."""

from __future__ import annotations

from dataclasses import dataclass

from ...options.facts import check, option
from ...options.preview import PREVIEW_METHODS

__all__ = ["OTHER_NAMES", "OUTPUT_FORMATS", "PREVIEWS", "DeliveryOptions"]

OUTPUT_FORMATS = ("png", "jpeg", "webp")
PREVIEWS = ("none", *PREVIEW_METHODS)
OTHER_NAMES = {
    "preview": {"latent": "proj", "decoded": "vae"},  # the autoencoder is there with every model
    "output_format": {"jpg": "jpeg"},
}
"""What else clients call a value."""


@dataclass(frozen=True)
class DeliveryOptions:
    """How pictures are delivered.

    Args:
        output_format, output_compression: Of the delivered file; a JPEG's and WebP's quality, 0 to
            100. Pictures are kept as PNG.
        embed_image_metadata: Whether the delivered file says how it was made.
        preview, preview_interval: How unfinished pictures are shown, and after how many steps.
        store: Whether the pictures stay after they were delivered.
        timeout_s: How long the job may take; None: as long as the server allows.
        title: What its owner calls it.

    Raises:
        ValueError: A value is out of its range.
    """

    output_format: str = option("png", "The delivered file's format.", choices=OUTPUT_FORMATS)
    output_compression: int = option(100, "A JPEG's or WebP's quality.", low=0, high=100)
    embed_image_metadata: bool = option(True, "Say in the file how it was made.")
    preview: str = option("none", "How unfinished pictures are shown.", choices=PREVIEWS)
    preview_interval: int = option(1, "Steps from one preview to the next.", low=1, high=1000)
    store: bool = option(True, "Keep the pictures after they were delivered.")
    timeout_s: float | None = option(None, "Seconds that the job may take.", low=0, high=1e7)
    title: str = option("", "What its owner calls the job.", max_chars=100)

    def __post_init__(self) -> None:
        check(self)
