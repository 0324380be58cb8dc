"""Fit the filter bank of the stand-in face detector (detector.npz).

The stand-in detector must put boxes on faces without any published weights, so a network of
15,000 parameters is fitted for a few minutes on the photos that the test dependencies
install: scikit-image's astronaut and insightface's t1.jpg (seven faces, marked below by hand),
scikit-image's 25-pixel LFW faces, and scikit-image's other pictures as background. It is good
for those photos and their variations and is not a face detector for anything else.

Run it from the repository root, with the extra [test] installed:

    python tests/standin/extractor/fit_detector.py tests/standin/extractor/detector.npz
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import insightface
import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

CROP_PX = 96
STRIDE_PX = 4
FACE_PX = 24.0
"""Face size (square root of the box area) that the network sees on the fitting pyramid level."""
SURENESS = 1.5
"""Taken off the fitted logit of the score, so that a chance of 0.82 becomes the threshold 0.5."""

# Box x1 y1 x2 y2, then x y of: eye at the left of the picture, the other eye, nose tip, mouth
# corners left and right.
ASTRONAUT = [(180, 76, 272, 178, 203, 101, 246, 103, 224, 127, 206, 141, 243, 142)]
T1 = [
    (64, 260, 167, 395, 85, 329, 130, 308, 119, 342, 117, 369, 146, 353),
    (268, 146, 377, 265, 289, 212, 318, 195, 308, 223, 316, 247, 337, 236),
    (464, 260, 576, 419, 491, 318, 541, 333, 510, 357, 488, 374, 528, 387),
    (749, 340, 852, 480, 759, 394, 805, 402, 779, 427, 770, 441, 805, 445),
    (905, 56, 1012, 204, 916, 119, 945, 116, 927, 149, 937, 175, 956, 173),
    (1134, 265, 1227, 398, 1150, 325, 1195, 324, 1171, 348, 1155, 369, 1195, 366),
]
BACKGROUND = (
    "coffee chelsea rocket motorcycle_left brick grass gravel hubble_deep_field ihc retina page "
    "text coins horse clock_motion chessboard_GRAY moon logo color phantom microaneurysms cell"
)


class Detector(nn.Module):
    """Grey picture (n, 1, h, w) in -1..1 -> (n, 15, h/4, w/4): score, 4 distances, 5 points."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(16, 24, 3, padding=1)
        self.conv4 = nn.Conv2d(24, 24, 3, padding=2, dilation=2)
        self.conv5 = nn.Conv2d(24, 24, 3, padding=1)
        self.head = nn.Conv2d(24, 15, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            x = F.relu(conv(x))
        return self.head(x)


class Source:
    """A grey photo as a pyramid of halvings, with the faces marked on it."""

    def __init__(self, photo: NDArray[np.uint8], faces: Sequence[tuple[int, ...]]) -> None:
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
        self.levels = [grey.astype(np.float32) / 255.0]
        while min(self.levels[-1].shape) > 24:
            height, width = self.levels[-1].shape
            self.levels.append(
                cv2.resize(self.levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            )
        self.faces = np.asarray(faces, dtype=np.float64).reshape(-1, 7, 2)

    def crop(
        self, centre: NDArray[np.float64], scale: float, angle: float, flip: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """A CROP_PX square around `centre`, `scale` output pixels per photo pixel."""
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(self.levels) - 1))
        rotation = scale * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        if flip:
            rotation[0] *= -1
        shift = CROP_PX / 2 - rotation @ centre
        factor = self.levels[0].shape[1] / self.levels[level].shape[1]
        offset = rotation @ np.full(2, (factor - 1) / 2)
        matrix = np.column_stack([rotation * factor, shift + offset])
        image = cv2.warpAffine(
            self.levels[level], matrix, (CROP_PX, CROP_PX), borderMode=cv2.BORDER_CONSTANT
        )
        points = self.faces @ rotation.T + shift
        boxes = points[:, :2].copy()
        if len(boxes):
            corners = self.faces[:, [0, 0, 1, 1], 0], self.faces[:, [0, 1, 0, 1], 1]
            turned = np.stack(corners, -1) @ rotation.T + shift
            middle = turned.mean(axis=1)
            half = (self.faces[:, 1] - self.faces[:, 0]) * scale / 2
            boxes = np.stack([middle - half, middle + half], axis=1)
        points = points[:, 2:]
        if flip:
            points = points[:, [1, 0, 2, 4, 3]]
        return image, np.concatenate([boxes, points], axis=1)


def sources() -> tuple[list[Source], list[Source]]:
    photos = Path(insightface.__file__).parent / "data" / "images"
    t1 = np.asarray(Image.open(photos / "t1.jpg").convert("RGB"))
    with_faces = [Source(skimage.data.astronaut(), ASTRONAUT), Source(t1, T1)]
    folder = Path(skimage.data.__file__).parent
    without = []
    for name in BACKGROUND.split():
        path = next(path for path in folder.glob(f"{name}.*"))
        without.append(Source(np.asarray(Image.open(path).convert("RGB")), []))
    return with_faces, without


def batch(
    rng: np.random.Generator, faces: list[Source], without: list[Source], size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops, and on their grid of cells: label (1, 0, -1 ignored), targets, weight of points."""
    lfw = np.load(Path(skimage.data.__file__).parent / "lfw_subset.npy")
    cells = CROP_PX // STRIDE_PX
    images = np.zeros((size, 1, CROP_PX, CROP_PX), np.float32)
    labels = np.zeros((size, cells, cells), np.float32)
    targets = np.zeros((size, 14, cells, cells), np.float32)
    has_points = np.ones((size, 1, 1, 1), np.float32)
    grid = np.arange(cells) * float(STRIDE_PX)
    for index in range(size):
        kind = rng.random()
        if kind < 0.4:
            source = faces[0] if rng.random() < 0.25 else faces[1]
            face = source.faces[rng.integers(len(source.faces))]
            length = np.sqrt(np.prod(face[1] - face[0]))
            scale = FACE_PX * 2 ** rng.uniform(-1.6, 1.0) / length
            centre = face[:2].mean(axis=0) + rng.uniform(-0.4, 0.4, 2) * CROP_PX / scale
            angle = rng.normal(0, 0.12)
        else:
            source = without[rng.integers(len(without))] if kind < 0.8 else faces[rng.integers(2)]
            height, width = source.levels[0].shape
            centre = rng.uniform(0, 1, 2) * (width, height)
            scale = 2 ** rng.uniform(-3.2, 0.5)
            angle = rng.normal(0, 0.3)
        image, marks = source.crop(centre, scale, angle, bool(rng.random() < 0.5))
        if 0.5 < kind < 0.58:
            side = int(FACE_PX * 2 ** rng.uniform(-0.3, 0.4))
            x, y = rng.integers(0, CROP_PX - side, 2)
            person = lfw[rng.integers(100)].astype(np.float32)
            image[y : y + side, x : x + side] = cv2.resize(person, (side, side))
            marks = np.zeros((1, 7, 2))
            marks[0, :2] = [[x + 0.1 * side, y], [x + 0.9 * side, y + side]]
            has_points[index] = 0
        if kind > 0.97:
            noise = rng.normal(0.5, rng.uniform(0.05, 0.5), (CROP_PX, CROP_PX))
            image = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.3, 3)).astype(np.float32)
            marks = marks[:0]
        gain, lift = 2 ** rng.uniform(-0.7, 0.5), rng.uniform(-0.2, 0.2)
        seen = (image - 0.5) * gain + 0.5 + lift + rng.normal(0, 0.015, image.shape)
        images[index, 0] = np.clip(seen, 0, 1) * 2 - 1
        for mark in marks:
            box = mark[:2]
            length = np.sqrt(np.prod(box[1] - box[0]))
            octave = abs(np.log2(length / FACE_PX))
            middle = box.mean(axis=0)
            distance = np.hypot(grid[None, :] - middle[0], grid[:, None] - middle[1]) / length
            if octave > 1.3:
                continue
            if octave > 0.65:
                labels[index][distance < 0.5] = -1
                continue
            labels[index][(distance < 0.45) & (labels[index] == 0)] = -1
            inside = distance < 0.16
            labels[index][inside] = 1
            rows, columns = np.nonzero(inside)
            at = np.stack([columns, rows], axis=1) * float(STRIDE_PX)
            values = np.concatenate(
                [at - box[0], box[1] - at, (mark[None, 2:] - at[:, None]).reshape(-1, 10)], axis=1
            )
            targets[index][:, rows, columns] = (values / STRIDE_PX).T
    return (
        torch.from_numpy(images),
        torch.from_numpy(labels),
        torch.from_numpy(targets),
        torch.from_numpy(has_points),
    )


def fit(steps: int, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    faces, without = sources()
    net = Detector()
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for step in range(steps):
        images, labels, targets, has_points = batch(rng, faces, without, 32)
        out = net(images)
        known, positive = labels >= 0, labels == 1
        chance = out[:, 0].sigmoid()
        entropy = F.binary_cross_entropy_with_logits(
            out[:, 0], labels.clamp(min=0), reduction="none"
        )
        focus = torch.where(positive, (1 - chance) ** 2 * 0.5, chance**2 * 0.5)
        count = positive.sum().clamp(min=1)
        error = F.smooth_l1_loss(out[:, 1:], targets, reduction="none", beta=0.2)
        error = torch.cat([error[:, :4], error[:, 4:] * has_points], dim=1).mean(dim=1)
        loss = (focus * entropy)[known].sum() / count + error[positive].sum() / count
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 250 == 0:
            print(step, round(float(loss.detach()), 4), flush=True)
    return net


def main(path: str, steps: int) -> None:
    net = fit(steps)
    with torch.no_grad():
        # Faces score near 1 and nearly all else near 0; the doubtful few are better left out.
        assert net.head.bias is not None
        net.head.bias[0] -= SURENESS
    arrays = {name: value.numpy().astype(np.float16) for name, value in net.state_dict().items()}
    np.savez_compressed(path, **arrays)
    print(path, Path(path).stat().st_size, "bytes")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
