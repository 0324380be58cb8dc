"""The face parser: a narrow BiSeNet that learns the drawn labels in the extractor's crops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save

from pulid_extractor.align import FFHQ_PX
from pulid_extractor.parsing import BiSeNet
from pulid_extractor.parsing_shape import (
    BACKGROUND_LABELS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    N_LABELS,
    ParsingShape,
)

from .convolution import settle_batch_norms
from .loop import train
from .portraits import sample_person
from .references import aligned, draw_reference
from .resuming import seed_training

__all__ = ["PARSER_FILE", "SHAPE", "export_parser", "load_parser", "parser_figures", "train_parser"]

PARSER_FILE = "parsing_bisenet.safetensors"
SHAPE = ParsingShape(
    stem=8, stages=(8, 16, 24, 32), context=16, fusion=24, squeeze=8, output=24, labels=N_LABELS
)
PEOPLE = 5_500_000
"""Seeds of the people it learns from; the tower's are the ones below."""
HELD_OUT = 9_500_000
SEEDS = 400_000
LEARN_PX = 128
"""Labels are compared on a grid this fine: the network itself decides every eighth pixel."""
BATCH = 8
MEASURED = 24
SETTLING = 20
"""Batches by which batch norm's means and variances are measured at the end."""


def train_parser(folder: Path, budget_s: float, *, shape: ParsingShape = SHAPE) -> BiSeNet:
    """Train, or go on training, for `budget_s` seconds in all; pictures are drawn on the way.

    Writes `parser.ckpt`, `parser.jsonl` and, with averaged weights, `parser.pt` to `folder`.
    """
    seed_training(folder, "parser", 5)
    network = BiSeNet(shape)
    white = torch.zeros(N_LABELS, dtype=torch.bool)
    white[list(BACKGROUND_LABELS)] = True

    def loss() -> torch.Tensor:
        network.train()
        pictures, labels = draw_batch(PEOPLE + int(torch.randint(SEEDS, ())), BATCH)
        scores = _scores(network, pictures)
        wanted = white[labels].float()
        margin = scores[:, white].logsumexp(1) - scores[:, ~white].logsumexp(1)
        return F.cross_entropy(scores, labels) + F.binary_cross_entropy_with_logits(margin, wanted)

    def measure() -> dict[str, float]:
        fresh = (draw_batch(PEOPLE + SEEDS + index, BATCH)[0] for index in range(SETTLING))
        settle_batch_norms(network, fresh)
        return parser_figures(network, MEASURED)

    train("parser", folder, budget_s, {"parser": network}, loss, rate=4e-3, measure=measure)
    torch.save(network.state_dict(), folder / "parser.pt")
    return network.eval()


def export_parser(folder: Path, pack: Path) -> Path:
    """Write the trained parser to `pack` under facexlib's names."""
    pack.mkdir(parents=True, exist_ok=True)
    tensors = torch.load(folder / "parser.pt", weights_only=True)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    (pack / PARSER_FILE).write_bytes(save(contiguous))
    return pack / PARSER_FILE


def load_parser(folder: Path, shape: ParsingShape = SHAPE) -> BiSeNet:
    """The trained parser, for reading only."""
    network = BiSeNet(shape)
    network.load_state_dict(torch.load(folder / "parser.pt", weights_only=True))
    return network.eval().requires_grad_(False)


def draw_batch(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops (n, 3, 512, 512) float32, normalised, and labels (n, 128, 128) int64 of `n` people."""
    rng = np.random.default_rng(seed)
    crops, labels = [], []
    grid = np.rint(np.linspace(0, FFHQ_PX - 1, LEARN_PX)).astype(int)
    for _ in range(n):
        crop, classes = aligned(draw_reference(sample_person(rng), rng, with_labels=True))
        assert classes is not None
        crops.append(crop)
        labels.append(classes[np.ix_(grid, grid)])
    return normalised(np.stack(crops)), torch.from_numpy(np.stack(labels)).long()


def normalised(crops: np.ndarray) -> torch.Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, H, W) float32 as the parser takes it."""
    pictures = torch.from_numpy(cv2.dnn.blobFromImages(list(crops), 1 / 255))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return pictures.sub_(mean).div_(std)


def parser_figures(network: BiSeNet, people: int) -> dict[str, float]:
    """Shares of pixels told right of people never learned from.

    Returns:
        `white`: background or not, `classes`: all 19, `kept_lost`: share of the face made white,
        `white_left`: share of the background kept.
    """
    network.eval()
    white = torch.tensor(BACKGROUND_LABELS)
    counts = torch.zeros(6, dtype=torch.float64)
    for index in range(0, people, BATCH):
        pictures, labels = draw_batch(HELD_OUT + index, min(BATCH, people - index))
        with torch.no_grad():
            found = _scores(network, pictures).argmax(1)
        is_white, seen_white = torch.isin(labels, white), torch.isin(found, white)
        counts += torch.tensor(
            [
                (is_white == seen_white).sum(),
                (found == labels).sum(),
                (~is_white & seen_white).sum(),
                (is_white & ~seen_white).sum(),
                (~is_white).sum(),
                labels.numel(),
            ]
        )
    right, same, lost, left, kept, everything = counts.tolist()
    return {
        "white": right / everything,
        "classes": same / everything,
        "kept_lost": lost / kept,
        "white_left": left / (everything - kept),
    }


def _scores(network: BiSeNet, pictures: torch.Tensor) -> torch.Tensor:
    """Like the network's `forward`, with gradients and on the grid of the labels."""
    scores = network.conv_out(network.ffm(*network.cp(pictures)))
    return F.interpolate(scores, (LEARN_PX, LEARN_PX), mode="bilinear", align_corners=True)
