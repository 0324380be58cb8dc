"""What the pocket SDXL is trained on: latents of people, and what the extractor sees in a photo.

People look straight ahead, nearer than in Flux's pictures, and in one light: then a picture is
decided by person and prompt alone, which is learned from a tenth of the pictures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from pulid_extractor.encoder_tensors import read_encoder_tensors
from pulid_extractor.eva_vision import load_eva
from pulid_extractor.idformer import idformer_of
from pulid_extractor.parsing import load_parsing
from pulid_sdcpp.pocket.pack import PocketFiles
from pulid_sdcpp.tensors.tensor_file import TensorFile

from .dataset import SIDE_PX, people_of
from .features import Networks, features_of
from .idformer import tokens_of
from .patches import LATENTS, PATCH_PX, PatchPca
from .portraits import Person, draw_portrait, sample_scene
from .references import draw_reference

__all__ = ["PEOPLE", "PictureSet", "draw_target", "make_pictures", "patch_pca_of"]

PEOPLE = 6_500_000
"""Seed of the first `CHUNK` people; the next are drawn from the number above."""
CHUNK = 200
PER_PERSON = 5
ZOOM = 1.25
"""How much larger a head is than in Flux's pictures: so much more of it is in the latents."""
UPWARD = 0.7
"""The cut is so far from the upper edge, in shares of its distance from the sides."""
AT_ONCE = 20


@dataclass(frozen=True)
class PictureSet:
    """Pictures of `n` people, `k` of each.

    Attributes:
        latents: (n, k, 16, 16, 16) float16, the pocket Flux's.
        scenes: (n, k, 3) uint8: background, expression, shirt.
        tokens: (n, 8, 256) float16: the identity that a photo of them gives.
    """

    latents: torch.Tensor
    scenes: torch.Tensor
    tokens: torch.Tensor


def draw_target(
    person: Person, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """(128, 128, 3) uint8, and background, expression and shirt."""
    scene = replace(sample_scene(rng, pose=0.0, style=0), open_collar=False)
    side = 2 * round(SIDE_PX * ZOOM / 2)
    pixels = draw_portrait(person, scene, side, oversampling=2).pixels
    left = (side - SIDE_PX) // 2
    top = int(UPWARD * left)
    cut = pixels[top : top + SIDE_PX, left : left + SIDE_PX]
    return cut, (scene.background, scene.expression, scene.shirt)


def make_pictures(folder: Path, files: PocketFiles, n_people: int) -> PictureSet:
    """Draw people and look at a photo of each, or read what an earlier run left.

    Args:
        files: Whose networks look at the photos.
        n_people: A multiple of 200.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index in range(n_people // CHUNK):
        file = folder / f"sdxl_{index}.npz"
        if not file.exists():
            part = file.with_suffix(".part.npz")
            latents, scenes, tokens = _drawn(PEOPLE + index, files)
            np.savez(part, latents=latents, scenes=scenes, tokens=tokens)
            os.replace(part, file)
        with np.load(file) as arrays:
            found.append({name: torch.from_numpy(arrays[name]) for name in arrays})
    return PictureSet(**{name: torch.cat([part[name] for part in found]) for name in found[0]})


def _drawn(seed: int, files: PocketFiles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pca, rng = patch_pca_of(files.taesd), np.random.default_rng([seed, 4])
    people = people_of(seed, CHUNK)
    drawn = [draw_target(person, rng) for person in people for _ in range(PER_PERSON)]
    pictures = torch.from_numpy(np.stack([pixels for pixels, _ in drawn])).float() / 255
    latents = pca.encode(pictures).half().numpy().reshape(CHUNK, PER_PERSON, LATENTS, 16, 16)
    scenes = np.array([scene for _, scene in drawn], np.uint8).reshape(CHUNK, PER_PERSON, 3)
    return latents, scenes, _seen(people, rng, files)


def _seen(people: list[Person], rng: np.random.Generator, files: PocketFiles) -> np.ndarray:
    """Identities of one photo of each, by the shipped networks."""
    cpu, f32 = torch.device("cpu"), torch.float32
    recogniser = onnxruntime.InferenceSession(
        str(files.recogniser), providers=["CPUExecutionProvider"]
    )

    def recognised(faces: torch.Tensor) -> torch.Tensor:
        each = [recogniser.run(None, {"input.1": face[None].numpy()})[0] for face in faces]
        return torch.from_numpy(np.concatenate(each))

    networks = Networks(
        load_parsing(files.models_dir / "parsing_bisenet.safetensors", device=cpu),
        load_eva(
            files.models_dir / "EVA02_CLIP_L_336_psz14_s6B.safetensors", device=cpu, dtype=f32
        ),
        recognised,
    )
    encoder = read_encoder_tensors(files.pulid_weights)
    idformer = idformer_of(encoder.tensors, encoder.file, device=cpu, dtype=f32)
    tokens = []
    for start in range(0, len(people), AT_ONCE):
        references = [draw_reference(person, rng) for person in people[start : start + AT_ONCE]]
        embeddings, depths = features_of(references, networks)
        with torch.no_grad():
            told = tokens_of(idformer, embeddings[:, None], list(depths.unbind(1)))
        tokens.append(told.half().numpy())
    return np.concatenate(tokens)


def patch_pca_of(taef1: Path) -> PatchPca:
    """The linear map that the pocket Flux's encoder is: see `autoencoder.tae_tensors`."""
    with TensorFile(taef1) as file:
        last = file.read("encoder.layers.10.weight")[:LATENTS]
        bias = file.read("encoder.layers.14.bias")
    matrix = np.zeros((PATCH_PX, PATCH_PX, 3, LATENTS), np.float32)
    for y, x in np.ndindex(PATCH_PX, PATCH_PX):
        # Three halvings: the finest is in the lowest channels.
        tap = (1 + y // 4, 1 + x // 4)
        channel = 12 * (2 * (y // 2 % 2) + x // 2 % 2) + 3 * (2 * (y % 2) + x % 2)
        matrix[y, x] = last[:, channel : channel + 3, tap[0], tap[1]].T
    flat = matrix.reshape(-1, LATENTS)
    mean = -np.linalg.lstsq(flat.T, bias, rcond=None)[0]
    return PatchPca(flat, mean.astype(np.float32))
