"""Decoding a picture in tiles, so that it takes less memory."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import option

__all__ = ["TilingOptions"]


@dataclass(frozen=True)
class TilingOptions:
    """The facts of the options of `GenerationOptions` that are about tiles of the autoencoder."""

    vae_tiling: bool = option(
        False,
        "Decode in tiles, to use less memory.",
        flags="--vae-tiling",
        group="Memory and speed",
        text="VAE tiling",
        memory=True,
    )
    vae_tile_size: tuple[int, int] = option(
        (0, 0),
        "Tile size in latent pixels (8 pixels each).",
        flags="--vae-tile-size",
        group="Memory and speed",
        shown_default="the engine's",
        low=0,
        high=512,
        text="VAE tile size",
        memory=True,
    )
    vae_tile_overlap: float = option(
        0.5,
        "Overlap as a share of a tile, 0 to 0.5.",
        flags="--vae-tile-overlap",
        group="Memory and speed",
        low=0,
        high=0.5,
        text="VAE tile overlap",
        memory=True,
    )
    vae_relative_tile_size: tuple[float, float] = option(
        (0.0, 0.0),
        "Tile size relative to the picture: below 1 a share, otherwise a number of tiles.",
        flags="--vae-relative-tile-size",
        group="Memory and speed",
        shown_default="not used",
        low=0,
        high=64,
        text="VAE relative tile size",
        memory=True,
    )
