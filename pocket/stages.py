"""The stages of the training, each from what the folder holds to what it then holds too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import train_flux
from .attribute_reader import train_attribute_reader as attribute_reader
from .autoencoder import train_decoder
from .dataset import SIDE_PX, LatentSet, draw_pictures, make_latents
from .detector import train_detector as detector
from .idformer import all_tokens, held_features, load_idformer, trained_features
from .idformer import train_idformer as idformer
from .pairs import PairSet, make_pairs
from .parser import train_parser as parser
from .patches import PatchPca, fit_patch_pca
from .photos import photo_latents
from .recogniser import train_judge as judge
from .recogniser import train_recogniser as recogniser
from .text_encoder import train_text_encoder as text_encoder
from .tower import train_tower as tower
from .two_people import train_two_people

__all__ = [
    "attribute_reader",
    "decoder",
    "detector",
    "flux",
    "idformer",
    "judge",
    "pair_sets",
    "parser",
    "patch_pca",
    "recogniser",
    "text_encoder",
    "tower",
    "tuning",
    "two_people",
]

PEOPLE = 20_000
PER_PERSON = 6
HELD_PEOPLE = 250
PCA_SEED, PCA_PEOPLE = 1_900_000, 300
DECODER_PEOPLE = 1000
PAIRS, HELD_PAIRS = 16_000, 128


def patch_pca(folder: Path) -> PatchPca:
    """Fitted to pictures of a few hundred people, once."""
    file = folder / "pca.npz"
    if not file.exists():
        pca = fit_patch_pca(_flat(draw_pictures(PCA_SEED, PCA_PEOPLE, 4)[0]))
        np.savez(file, matrix=pca.matrix, mean=pca.mean)
    with np.load(file) as saved:
        return PatchPca(saved["matrix"], saved["mean"])


def decoder(folder: Path, budget_s: float, device: str) -> None:
    pictures = _flat(draw_pictures(1_800_000, DECODER_PEOPLE, PER_PERSON)[0])
    held = _flat(draw_pictures(9_000_000, 48, 1)[0])
    train_decoder(folder, budget_s, patch_pca(folder), pictures, held, device=device)


def flux(folder: Path, budget_s: float, device: str) -> None:
    train_flux.train_flux(folder, budget_s, *_latents(folder), device)


def tuning(folder: Path, budget_s: float, device: str) -> None:
    data, held = _latents(folder)
    photos = photo_latents(folder, patch_pca(folder))
    train_flux.tune_flux(folder, budget_s, data, photos, held, device)


def two_people(folder: Path, budget_s: float, device: str) -> None:
    flux = train_flux.load_flux(folder)
    train_two_people(folder, budget_s, flux, *pair_sets(folder), device)


def pair_sets(folder: Path) -> tuple[PairSet, PairSet]:
    """Pairs of the people whose photos the IDFormer was trained on, and of people never seen."""
    network, pca = load_idformer(folder), patch_pca(folder)
    sets = []
    for name, features, count, seed in (
        ("pairs", trained_features(folder), PAIRS, 7),
        ("held_pairs", held_features(folder), HELD_PAIRS, 8),
    ):
        tokens = all_tokens(network, features).half()
        file = folder / f"{name}.pt"
        sets.append(make_pairs(file, pca, features.people, tokens, count, seed))
    return sets[0], sets[1]


def _latents(folder: Path) -> tuple[LatentSet, LatentSet]:
    pca = patch_pca(folder)
    return (
        make_latents(folder / "train.pt", pca, PEOPLE, PER_PERSON, seed=1),
        make_latents(folder / "held.pt", pca, HELD_PEOPLE, PER_PERSON, seed=9),
    )


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(-1, SIDE_PX, SIDE_PX, 3)
