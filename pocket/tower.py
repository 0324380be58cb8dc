"""The vision tower: a small EVA that learns to read a person off the grey crop the IDFormer gets.

Colours are gone by then. It learns to tell everything of the identity vector that is left, from the
CLIP embedding and from the mean tokens of the depths that the IDFormer is given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from pulid_extractor.eva_shape import CLIP_MEAN, CLIP_STD, N_SCALES, EvaShape
from pulid_extractor.eva_vision import EvaVision
from pulid_extractor.parsing_shape import BACKGROUND_LABELS, LUMA

from .identity_groups import GROUPS, group_scores
from .loop import train
from .portraits import identity_vector, sample_person
from .portraits.people import IDENTITY_DIM
from .references import Reference, aligned, draw_reference
from .resuming import seed_training

__all__ = ["SHAPE", "TOWER_FILE", "draw_grey_crops", "export_tower", "load_tower", "train_tower"]

TOWER_FILE = "EVA02_CLIP_L_336_psz14_s6B.safetensors"
SHAPE = EvaShape(
    width=128, depth=6, head_dim=64, mlp_dim=256, patch_px=16, grid=8, embedding_dim=64
)
PEOPLE = 5_000_000
HELD_OUT = 9_600_000
N_PEOPLE, N_HELD_OUT = 4500, 250
PER_PERSON = 4
CHUNK = 250
BATCH = 64
PARSER_CELLS = 64
"""The parser decides every eighth pixel and interpolates; half of the masks are as coarse."""
DARKEST, STEP = -40.0, 1.3
"""Greys are kept as whole steps from the darkest; bicubic resizing leaves 0..255 at edges."""
COLOURS = {"skin": 0.3, "hair": 0.3, "eyes": 0.1, "frame_color": 0.1, "lip_color": 0.2}
"""Weight of what is hard to tell in grey, against 1 for everything else."""


@dataclass(frozen=True)
class GreyCrops:
    """What the tower sees of `n` people.

    Attributes:
        crops: (n, k, side, side) uint8, grey on white, in steps of STEP from DARKEST.
        people: (n, IDENTITY_DIM) float32.
    """

    crops: np.ndarray
    people: np.ndarray


class Readers(nn.Module):
    """Linear readings of the identity vector; only training needs them."""

    def __init__(self, shape: EvaShape) -> None:
        super().__init__()
        self.embedding = nn.Linear(shape.embedding_dim, IDENTITY_DIM)
        self.depths = nn.ModuleList(nn.Linear(shape.width, IDENTITY_DIM) for _ in range(N_SCALES))

    def forward(self, embedding: torch.Tensor, hidden: list[torch.Tensor]) -> list[torch.Tensor]:
        """Six readings (n, IDENTITY_DIM): of the embedding and of every depth."""
        deep = [reader(x.mean(1)) for reader, x in zip(self.depths, hidden, strict=True)]
        return [self.embedding(embedding), *deep]


def train_tower(
    folder: Path, budget_s: float, *, shape: EvaShape = SHAPE, n_people: int = N_PEOPLE
) -> EvaVision:
    """Train, or go on training, for `budget_s` seconds in all, not counting the drawing.

    Writes `tower.ckpt`, `tower.jsonl` and, with averaged weights, `tower.pt` to `folder`, and
    keeps there the pictures it draws.
    """
    side_px = shape.image_px
    data = make_grey_crops(folder / f"grey_{side_px}_{n_people}.npz", PEOPLE, n_people, side_px)
    n_held = min(N_HELD_OUT, n_people)
    held = make_grey_crops(folder / f"grey_{side_px}_held.npz", HELD_OUT, n_held, side_px)
    seed_training(folder, "tower", 51)
    tower, readers = initialised(shape), Readers(shape)
    people = torch.from_numpy(data.people)
    scale = weights() / people.std(0).clamp(min=0.1)
    middle = people.mean(0)

    def loss() -> torch.Tensor:
        who = torch.randint(len(people), (BATCH,))
        which = torch.randint(PER_PERSON, (BATCH,))
        pictures = normalised(data.crops[who.numpy(), which.numpy()])
        with torch.autocast("cpu", torch.bfloat16):
            embedding, hidden = look(tower, pictures)
            readings = readers(embedding, hidden)
        wanted = (people[who] - middle) * scale
        errors = [(told.float() - wanted).square().mean() for told in readings]
        return 2 * errors[0] + errors[-1] + 0.3 * sum(errors[1:-1])

    def measure() -> dict[str, float]:
        flat = normalised(held.crops.reshape(-1, side_px, side_px))
        with torch.no_grad():
            parts = [readers(*look(tower, part)) for part in flat.split(100)]
        truth = torch.from_numpy(held.people).repeat_interleave(PER_PERSON, 0)
        figures: dict[str, float] = {}
        for name, index in (("clip", 0), ("deep", -1)):
            told = torch.cat([part[index] for part in parts]) / scale + middle
            scores = group_scores(told.numpy(), truth.numpy())
            figures |= {f"{name} {group}": score for group, score in scores.items()}
        return figures

    networks = {"tower": tower, "readers": readers}
    train("tower", folder, budget_s, networks, loss, rate=1.5e-3, measure=measure)
    torch.save(tower.state_dict(), folder / "tower.pt")
    return tower.eval().requires_grad_(False)


def export_tower(folder: Path, pack: Path) -> Path:
    """Write the trained tower to `pack` in float16 under timm's names."""
    pack.mkdir(parents=True, exist_ok=True)
    tensors = torch.load(folder / "tower.pt", weights_only=True)
    halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
    (pack / TOWER_FILE).write_bytes(save(halves))
    return pack / TOWER_FILE


def load_tower(folder: Path, shape: EvaShape = SHAPE) -> EvaVision:
    """The trained tower, with the float16 weights that the pack has, for reading only."""
    tower = EvaVision(shape)
    tensors = torch.load(folder / "tower.pt", weights_only=True)
    tower.load_state_dict({name: tensor.half().float() for name, tensor in tensors.items()})
    return tower.eval().requires_grad_(False)


def initialised(shape: EvaShape) -> EvaVision:
    """An untrained tower: what EvaVision leaves to the file is filled in."""
    tower = EvaVision(shape)
    nn.init.normal_(tower.cls_token, std=0.02)
    nn.init.normal_(tower.pos_embed, std=0.02)
    return tower


def look(tower: EvaVision, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The tower's embedding and depths, with gradients, which its own `forward` shuts off."""
    forward = EvaVision.forward.__wrapped__  # type: ignore[attr-defined]
    embedding, hidden = forward(tower, pictures)
    return embedding * embedding.shape[1] ** 0.5, hidden


def make_grey_crops(file: Path, seed: int, n_people: int, side_px: int) -> GreyCrops:
    """Draw crops, or read what an earlier run drew."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        starts = range(0, n_people, CHUNK)
        parts = [
            draw_grey_crops(seed + index, min(CHUNK, n_people - start), side_px)
            for index, start in enumerate(starts)
        ]
        part = file.with_suffix(".part.npz")
        np.savez(
            part,
            crops=np.concatenate([part.crops for part in parts]),
            people=np.concatenate([part.people for part in parts]),
        )
        os.replace(part, file)
    with np.load(file) as arrays:
        return GreyCrops(arrays["crops"], arrays["people"])


def draw_grey_crops(seed: int, n_people: int, side_px: int) -> GreyCrops:
    """Draw crops; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    crops = np.empty((n_people, PER_PERSON, side_px, side_px), np.uint8)
    people = []
    for index in range(n_people):
        person = sample_person(rng)
        people.append(identity_vector(person))
        for k in range(PER_PERSON):
            reference = draw_reference(person, rng, with_labels=True)
            crops[index, k] = grey_crop(reference, side_px, coarse=bool(rng.random() < 0.5))
    return GreyCrops(crops, np.stack(people))


def grey_crop(reference: Reference, side_px: int, *, coarse: bool) -> np.ndarray:
    """What `parsing.face_only` and `clip_picture` make of it with a perfect parser.

    Args:
        reference: With labels.
        side_px: Side of the result.
        coarse: Whether the mask has the resolution at which the parser decides.

    Returns:
        (side, side) uint8 in steps of STEP from DARKEST.
    """
    crop, labels = aligned(reference)
    assert labels is not None
    white = np.isin(labels, BACKGROUND_LABELS)
    if coarse:
        cells = cv2.resize(
            white.astype(np.float32), (PARSER_CELLS, PARSER_CELLS), interpolation=cv2.INTER_AREA
        )
        white = cv2.resize(cells, white.shape, interpolation=cv2.INTER_LINEAR) > 0.5
    grey = crop.astype(np.float32) @ np.array(LUMA, np.float32)
    grey[white] = 255
    small = cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint((small - DARKEST) / STEP), 0, 255).astype(np.uint8)


def normalised(crops: np.ndarray) -> torch.Tensor:
    """(n, side, side) uint8 as kept -> (n, 3, side, side) float32 as CLIP takes it."""
    pictures = (torch.from_numpy(crops).float()[:, None] * STEP + DARKEST) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (pictures - mean) / std


def weights() -> torch.Tensor:
    """How much each number of the identity vector counts: (IDENTITY_DIM,)."""
    values = torch.ones(IDENTITY_DIM)
    for name, columns in GROUPS.items():
        values[columns] = COLOURS.get(name, 1.0) ** 0.5
    return values
