"""All stand-in files of a Flux in one folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.q4_k import BLOCK
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors

from .autoencoder_kl import autoencoder_kl_tensors
from .clip_l import clip_l_tensors
from .file_set import DESCRIPTION, FileSet, gguf_metadata
from .flux import LATENT_CHANNELS, FluxShape, flux_tensors
from .pulid import pulid_tensors
from .taef1 import taef1_tensors

__all__ = ["QUANTIZATIONS", "make_standin_weights"]

QUANTIZATIONS = ("f16", "q8_0", "q4_0", "q4_k")


def make_standin_weights(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    depth: int = 3,
    depth_single: int = 5,
    hidden: int = 256,
    quantizations: Sequence[str] = QUANTIZATIONS,
    guidance_embed: bool = False,
    in_channels: int = LATENT_CHANNELS,
    idformer_tensors: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Path]:
    """Make every weights file that generation needs, small, with the real tensor names.

    A file that is there already with the same parameters is kept as it is, so that a second
    call takes milliseconds. Files are written one at a time, each whole or not at all.

    Args:
        folder: Where to; made if it does not exist.
        seed: 0 or more.
        depth: Double blocks of Flux.
        depth_single: Single blocks of Flux.
        hidden: Width of Flux, a multiple of 128 (of 256 for q4_k).
        quantizations: Which Flux files to make, of "f16", "q8_0", "q4_0", "q4_k".
        guidance_embed: True makes Flux a "dev", with a distilled guidance input.
        in_channels: Of an image token; 384 makes it a Fill.
        idformer_tensors: The `pulid_encoder.*` tensors to put into the PuLID file, float32.

    Returns:
        Path by role: "flux-f16" and so on for each quantization, "pulid", "taesd", "vae"
        (decoder only) and "clip_l".

    Raises:
        OutputFileError: A file cannot be written.
        ValueError: The sizes do not make a Flux, a quantization is unknown or does not fit, or
            this process uses a file of this folder with other parameters.
    """
    shape = FluxShape(
        depth, depth_single, hidden, guidance_embed=guidance_embed, in_channels=in_channels
    )
    _check_quantizations(quantizations, hidden)
    if seed < 0:
        raise ValueError(f"seed {seed}: expected 0 or more")
    flux = {"seed": seed, **asdict(shape)}
    files = FileSet(Path(folder))
    kind = "dev" if guidance_embed else "schnell"
    for quantization in quantizations:
        files.make(
            f"flux-{quantization}",
            f"flux1-{kind}-standin-{quantization.upper()}.gguf",
            flux,
            partial(_write_flux, shape, seed, quantization),
        )
    files.make(
        "pulid",
        "pulid_flux_v0.9.1.safetensors",
        {**flux, "idformer": _digest(idformer_tensors)},
        lambda path: write_safetensors(
            path, pulid_tensors(shape, seed, idformer_tensors), {"description": DESCRIPTION}
        ),
    )
    files.make(
        "taesd",
        "taef1.safetensors",
        {"seed": seed},
        lambda path: write_safetensors(path, taef1_tensors(seed), {"description": DESCRIPTION}),
    )
    files.make(
        "vae",
        "ae.safetensors",
        {"seed": seed},
        lambda path: write_safetensors(
            path, autoencoder_kl_tensors(seed), {"description": DESCRIPTION}
        ),
    )
    files.make(
        "clip_l",
        "clip_l.gguf",
        {"seed": seed},
        lambda path: write_gguf(path, clip_l_tensors(seed), gguf_metadata("clip")),
    )
    return files.paths


def _write_flux(shape: FluxShape, seed: int, quantization: str, path: Path) -> None:
    write_gguf(path, flux_tensors(shape, seed, quantization), gguf_metadata("flux"))


def _check_quantizations(quantizations: Sequence[str], hidden: int) -> None:
    for quantization in quantizations:
        if quantization not in QUANTIZATIONS:
            raise ValueError(
                f"quantization {quantization!r}: expected one of {', '.join(QUANTIZATIONS)}"
            )
    if "q4_k" in quantizations and hidden % BLOCK:
        raise ValueError(f"hidden {hidden}: q4_k needs a multiple of {BLOCK}")


def _digest(tensors: Mapping[str, np.ndarray] | None) -> str | None:
    if not tensors:
        return None
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], np.float32)
        digest.update(f"{name} {values.shape} ".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
