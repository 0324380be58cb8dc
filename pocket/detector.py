"""The face detector: SCRFD's inputs and outputs, trained on drawn portraits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .convolution import Residual, conv_block, settle_batch_norms
from .detector_scenes import (
    LEAST_FACE_PX,
    POOL,
    PortraitSet,
    canvas,
    draw_portraits,
    photographs,
)
from .loop import train
from .onnx_export import OnnxGraph, largest_difference, readable, write_onnx

__all__ = ["Detector", "detector_model", "export_detector", "load_detector", "train_detector"]

STRIDES_PX = (8, 16, 32)
OUTPUTS = {
    "448": 1,
    "471": 1,
    "494": 1,
    "451": 4,
    "474": 4,
    "497": 4,
    "454": 10,
    "477": 10,
    "500": 10,
}
"""Names and widths in the published file: scores of each stride, boxes, landmarks."""
WIDTHS = (20, 40, 80)
SCALE = 4.0
"""Lengths leave the network in this many strides."""
ASKED_PX = ((0, 130), (95, 260), (170, 9999))
"""Faces (square root of the box's area) that each stride must find."""
ALLOWED_PX = ((0, 175), (75, 340), (130, 9999))
"""And those it may find."""
INSIDE, NEAR = 0.17, 0.42
"""Cells within this share of a face's size from its middle report it; those near it may."""
SEED = 4_000_000
N_PORTRAITS = 2500
CANVASES = {40: (0.08, 40), 64: (0.14, 20), 96: (0.2, 12), 128: (0.28, 8), 160: (0.3, 6)}
"""Side of a canvas: its share of the batches, and how many there are in one."""
POINTS_WEIGHT = 2.0
"""Of landmarks, against the box: crops are cut by landmarks."""
SURENESS = 1.0
"""Taken off the trained logit of the score: real faces are far above, false alarms are not."""


class Detector(nn.Module):
    """Pictures (n, 3, h, w), (x - 127.5) / 128, sides multiples of 32.

    Gives for each stride s (n, 15, h / s, w / s): logit of the score, distances to the edges of
    the box, offsets of five landmarks; lengths in strides from the point s * (column, row).
    """

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.levels = nn.ModuleList(
            [
                nn.Sequential(nn.AvgPool2d(POOL), conv_block(3, fine, 3, 2), Residual(fine)),
                nn.Sequential(conv_block(fine, middle, 3, 2), Residual(middle)),
                nn.Sequential(conv_block(middle, coarse, 3, 2), Residual(coarse), Residual(coarse)),
            ]
        )
        self.across = nn.ModuleList(
            [nn.Conv2d(middle, fine, 1), nn.Conv2d(coarse, middle, 1), nn.Identity()]
        )
        self.heads = nn.ModuleList(
            nn.Sequential(conv_block(width, width), nn.Conv2d(width, 15, 1)) for width in WIDTHS
        )
        for head in self.heads:
            nn.init.constant_(head.get_parameter("1.bias")[:1], -4.0)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        cells = [self.heads[2](features[2])]
        for index in (1, 0):
            coarser = F.interpolate(features[index + 1], scale_factor=2, mode="nearest")
            features[index] = features[index] + self.across[index](coarser)
            cells.insert(0, self.heads[index](features[index]))
        return [torch.cat([part[:, :1], part[:, 1:] * SCALE], 1) for part in cells]


def train_detector(folder: Path, budget_s: float) -> None:
    """Train the detector, `detector.pt`."""
    torch.manual_seed(SEED)
    portraits, photos = draw_portraits(SEED, N_PORTRAITS), photographs()
    network = Detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    draw = batches(portraits, photos)

    def loss() -> torch.Tensor:
        pictures, faces = draw()
        with torch.autocast("cpu", torch.bfloat16):
            cells = network(pictures)
        return detection_loss(cells, faces)

    train("detector", folder, budget_s, {"detector": network}, loss, rate=3e-3)
    settle_batch_norms(network, (draw()[0] for _ in range(40)))
    with torch.no_grad():
        for head in network.heads:
            head[1].bias[0] -= SURENESS
    part = folder / "detector.part"
    torch.save(network.state_dict(), part)
    os.replace(part, folder / "detector.pt")


def batches(
    portraits: PortraitSet, photos: list[np.ndarray]
) -> Callable[[], tuple[torch.Tensor, list[np.ndarray]]]:
    """A source of pictures (n, 3, h, w) as the network takes them, and of the faces on each."""

    def draw() -> tuple[torch.Tensor, list[np.ndarray]]:
        rng = np.random.default_rng(int(torch.randint(2**31, ()).item()))
        side_px = int(rng.choice(list(CANVASES), p=[share for share, _ in CANVASES.values()]))
        drawn = [canvas(rng, side_px, portraits, photos) for _ in range(CANVASES[side_px][1])]
        pictures = torch.from_numpy(np.stack([pixels for pixels, _ in drawn]))
        pictures = (pictures.permute(0, 3, 1, 2).float() - 127.5) / 128
        large = F.interpolate(pictures, scale_factor=POOL, mode="nearest")
        return large.contiguous(memory_format=torch.channels_last), [faces for _, faces in drawn]

    return draw


def detection_loss(cells: list[torch.Tensor], faces: list[np.ndarray]) -> torch.Tensor:
    """Focal loss of the scores and relative error of boxes and landmarks.

    Args:
        cells: As the network gives them.
        faces: For each picture (faces, 7, 2) pixels: corners of the box, landmarks.
    """
    total = torch.zeros(())
    for level, found in enumerate(cells):
        n, _, rows, columns = found.shape
        labels = np.zeros((n, rows, columns), np.float32)
        targets = np.zeros((n, 14, rows, columns), np.float32)
        weight = np.zeros((n, rows, columns), np.float32)
        for index, marks in enumerate(faces):
            for points in marks:
                _mark(labels[index], targets[index], weight[index], points, level)
        known, positive = torch.from_numpy(labels >= 0), torch.from_numpy(labels == 1)
        scores = found[:, 0].float()
        chance = scores.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(scores, positive.float(), reduction="none")
        focus = torch.where(positive, (1 - chance) ** 2 * 0.5, chance**2 * 0.5)
        count = positive.sum().clamp(min=1)
        total = total + (focus * entropy)[known].sum() / count
        error = (found[:, 1:].float() - torch.from_numpy(targets)).abs()
        error = error[:, :4].mean(1) + POINTS_WEIGHT * error[:, 4:].mean(1)
        relative = torch.from_numpy(weight) * error
        total = total + 20 * relative[positive].sum() / count
    return total


def _mark(
    labels: np.ndarray, targets: np.ndarray, weight: np.ndarray, points: np.ndarray, level: int
) -> None:
    """Write one face into a picture's cells: 1 reports it, -1 may, 0 must not."""
    stride_px = STRIDES_PX[level]
    size_px = float(np.sqrt(np.prod(points[1] - points[0])))
    if not ALLOWED_PX[level][0] <= size_px <= ALLOWED_PX[level][1]:
        return
    at = np.stack(np.meshgrid(np.arange(labels.shape[1]), np.arange(labels.shape[0])), -1)
    at = at * np.float32(stride_px)
    away = np.linalg.norm(at - points[:2].mean(0), axis=-1) / size_px
    labels[(away < NEAR) & (labels == 0)] = -1
    asked = ASKED_PX[level][0] <= size_px <= ASKED_PX[level][1]
    if not asked or size_px < LEAST_FACE_PX * POOL:
        return
    inside = away <= max(INSIDE, float(away.min()))
    here = at[inside]
    values = np.concatenate(
        [here - points[0], points[1] - here, (points[None, 2:] - here[:, None]).reshape(-1, 10)], 1
    )
    labels[inside] = 1
    targets[:, inside] = values.T / stride_px
    weight[inside] = stride_px / size_px


def load_detector(folder: Path) -> Detector:
    """The trained network, for reading only."""
    network = Detector()
    network.load_state_dict(torch.load(folder / "detector.pt", weights_only=True))
    network.eval()
    return network


def export_detector(folder: Path, pack: Path) -> float:
    """Write `antelopev2/scrfd_10g_bnkps.onnx` and give how far it is from torch at most."""
    network = load_detector(folder)
    readable(network)
    model = detector_model(network)
    write_onnx(pack / "antelopev2" / "scrfd_10g_bnkps.onnx", model)
    pictures = 2 * torch.rand(1, 3, 96, 64) - 1
    return largest_difference(model, anchors(network, pictures), {"input.1": pictures})


@torch.no_grad()
def anchors(network: Detector, picture: torch.Tensor) -> list[torch.Tensor]:
    """The nine outputs of `detector_model` for one picture, by torch."""
    scores, boxes, points = [], [], []
    for cells in network(picture):
        rows = cells[0].flatten(1).T
        chance = rows[:, :1].sigmoid()
        scores.append(torch.stack([chance, torch.zeros_like(chance)], 1).flatten(0, 1))
        boxes.append(rows[:, 1:5].repeat_interleave(2, 0))
        points.append(rows[:, 5:].repeat_interleave(2, 0))
    return [*scores, *boxes, *points]


def detector_model(network: Detector) -> bytes:
    """The model, serialised: input (1, 3, H, W) RGB, (x - 127.5) / 128; nine outputs.

    Each is (H / s * W / s * 2, k) for its stride s. The second of the two anchors of a point never
    fires.

    Args:
        network: Made ready by `onnx_export.readable`.
    """
    graph = OnnxGraph()
    features, x = [], "input.1"
    for level in network.levels:
        x = graph.run(level, x)
        features.append(x)
    twice = graph.constant(np.array([1, 1, 2, 2], np.float32))
    for index in (1, 0):
        coarser = graph.node(
            "Resize",
            [features[index + 1], "", twice],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        added = graph.run(network.across[index], coarser)
        features[index] = graph.node("Add", [features[index], added])
    gain = graph.constant(np.array(SCALE, np.float32))
    first_only = graph.constant(np.array([1, 0], np.float32))
    channels = graph.constant(np.array([3], np.int64))
    names = list(OUTPUTS)
    for place, (head, feature) in enumerate(zip(network.heads, features, strict=True)):
        cells = graph.node("Transpose", [graph.run(head, feature)], perm=[0, 2, 3, 1])
        start = 0
        for kind, width in enumerate((1, 4, 10)):
            ends = [graph.constant(np.array([edge], np.int64)) for edge in (start, start + width)]
            part = graph.node("Slice", [cells, *ends, channels])
            if kind == 0:
                part = graph.node("Mul", [graph.node("Sigmoid", [part]), first_only])
            else:
                part = graph.node("Mul", [part, gain])
                part = graph.node("Concat", [part, part], axis=3)
            rows = graph.constant(np.array([-1, width], np.int64))
            graph.node("Reshape", [part, rows], output=names[3 * kind + place])
            start += width
    outputs: dict[str, list[int | str]] = {
        name: [f"anchors{STRIDES_PX[index % 3]}", width]
        for index, (name, width) in enumerate(OUTPUTS.items())
    }
    return graph.model({"input.1": [1, 3, "height", "width"]}, outputs)
