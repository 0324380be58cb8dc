"""What a person costs SDXL: time of an evaluation of the UNet.

    python benchmarks/unet_identity.py --json benchmarks/results/unet-identity.json

A UNet of the published sizes with random weights (Q4_0, 2 GB of disk, some minutes to make) and
PuLID's 70 layers (F16, 682 MB). An engine evaluates the UNet with the person and without in turn,
as it does at each step of a picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from generation_figures import extra_time_figures
from identity_worker import PIXELS_PER_LATENT, alternating
from measured import Figure, run_now
from pulid_sdcpp import Identity, StableDiffusion
from real_width_models import sdxl_models, unet_pulid_weights
from report import as_text
from standins import ID_DIM, normal

LATENT_CHANNELS = 4
CONTEXT = (77, 2048)
"""Tokens of a prompt and their width: CLIP-L's and CLIP-G's side by side."""
POOLED_WIDTH = 2816
TIMESTEP = 500.0
TOKENS = {"sdxl-v1.1": 32, "sdxl-v1": 10}
AT_MOST_PERCENT = 1.0


def main() -> None:
    options = read_options()
    models = sdxl_models(options.models_dir)
    weights = unet_pulid_weights(options.models_dir)
    load = {
        "diffusion_model_path": models["unet"],
        "clip_l_path": models["clip_l"],
        "clip_g_path": models["clip_g"],
        "taesd_path": models["taesd"],
        "pulid_weights": weights,
        "n_threads": options.threads,
    }
    figures: list[Figure] = []
    for encoder in TOKENS:
        figures += measure(load, encoder, options.size or [512], options.pairs)
    found = run_now("unet_identity", "A person in SDXL", figures, [], threads=str(options.threads))
    if options.json is not None:
        found.save(options.json)
    print(as_text(found))


def measure(load: dict[str, Any], encoder: str, sizes_px: list[int], pairs: int) -> list[Figure]:
    """The figures of one version of PuLID."""
    person = person_of(encoder)
    figures: list[Figure] = []
    with StableDiffusion(**load) as engine:
        for size_px in sizes_px:
            times = alternating(engine, person, unet_inputs(size_px), pairs)
            label = f"{encoder}, {size_px}x{size_px}"
            how = f"UNet Q4_0, {TOKENS[encoder]} tokens, 70 layers"
            figures += extra_time_figures(times, label, AT_MOST_PERCENT, how)
    return figures


def person_of(encoder: str) -> Identity:
    tokens = normal(0, encoder, (TOKENS[encoder], ID_DIM))
    nobody = normal(0, "nobody", tokens.shape)
    return Identity.from_array(tokens, nobody, encoder=encoder)


def unet_inputs(size_px: int) -> tuple[Any, ...]:
    """Latent, timestep, context and pooled vector of a picture with sides of `size_px`."""
    side = size_px // PIXELS_PER_LATENT
    draw = np.random.default_rng(0).standard_normal
    latent = draw((LATENT_CHANNELS, side, side), np.float32)
    return latent, TIMESTEP, draw(CONTEXT, np.float32), draw(POOLED_WIDTH, np.float32)


def read_options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument("--size", type=int, action="append", help="sides of pictures (512)")
    arguments.add_argument("--pairs", type=int, default=8, help="of evaluations (default: 8)")
    arguments.add_argument("--threads", type=int, default=0, help="0 (default): a thread a core")
    arguments.add_argument("--models-dir", type=Path, default=Path("build/benchmark-models"))
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
