"""Writing the pack: every file of the pocket model, under the name that the published one has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pulid_sdcpp.pocket.pack import write_manifest

from . import stages
from .attribute_reader import export_attribute_reader
from .autoencoder import load_decoder
from .dataset import people_of
from .detector import export_detector
from .export import write_autoencoder, write_flux, write_pulid
from .idformer import idformer_tensors
from .parser import export_parser
from .portraits import draw_portrait, sample_scene
from .recogniser import export_judge, export_recogniser
from .text_encoder import export_text_encoder
from .tower import export_tower
from .train_flux import load_flux
from .two_people import export_two_people

__all__ = ["draw_references", "write_pack"]

QUANTIZATION, MINOR_QUANTIZATION = "q8_0", "q4_0"
PORTRAIT_PX = 384
REFERENCE_SEED = 91_000_000
SHIPPED = {"rose": 10, "omar": 25, "edna": 16, "rufus": 17, "alba": 30, "mila": 15}
"""Whose portraits are shipped: their place among the people of the seed, whom no network saw."""


def write_pack(folder: Path, pack: Path) -> None:
    """Export every trained network of `folder` to `pack`, with the portraits and a manifest."""
    pack.mkdir(parents=True, exist_ok=True)
    flux = load_flux(folder)
    write_flux(pack / "flux1-schnell-pocket.gguf", flux, QUANTIZATION, MINOR_QUANTIZATION)
    write_pulid(pack / "pulid_flux_v0.9.1.safetensors", flux, idformer_tensors(folder))
    write_autoencoder(pack / "taef1.safetensors", stages.patch_pca(folder), load_decoder(folder))
    for export in (
        export_text_encoder,
        export_recogniser,
        export_judge,
        export_detector,
        export_attribute_reader,
        export_parser,
        export_tower,
        export_two_people,
    ):
        export(folder, pack)
    draw_references(pack / "portraits")
    write_manifest(pack)


def draw_references(folder: Path) -> None:
    """The portraits that the demo starts from: any pose and light, one to a person."""
    folder.mkdir(parents=True, exist_ok=True)
    people = people_of(REFERENCE_SEED, 1 + max(SHIPPED.values()))
    for name, index in SHIPPED.items():
        scene = sample_scene(np.random.default_rng([91, index]), pose=0.8, style=0)
        portrait = draw_portrait(people[index], scene, PORTRAIT_PX)
        Image.fromarray(portrait.pixels).save(folder / f"{name}.png", optimize=True)
