"""The two recognisers: one that extraction uses, and a judge that it never sees.

Both have ArcFace's signature, 112 px crops to 512 numbers of length 20. The first is trained to
keep who it is readable: a linear map of its numbers gives the identity vector. The judge has other
people, another network and other weights of the loss: mostly to tell people apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from pulid_extractor.align import ARCFACE_PX

from .convolution import Residual, UnitLength, conv_block, settle_batch_norms
from .face_crops import CropSet, make_crops, random_cut
from .loop import train
from .onnx_export import OnnxGraph, largest_difference, readable, write_onnx
from .portraits.people import IDENTITY_DIM

__all__ = [
    "JUDGE",
    "RECOGNISER",
    "RecogniserConfig",
    "build_recogniser",
    "even_out",
    "export_judge",
    "export_recogniser",
    "load_recogniser",
    "recogniser_model",
    "train_judge",
    "train_recogniser",
]

EMBEDDING_DIM = 512
EMBEDDING_LENGTH = 20.0
"""About that of a published ArcFace embedding."""
PER_PERSON = 5
EVENED_PEOPLE = 1500
LEAST_VARIANCE = 0.002
"""Of the largest one: directions below it hold noise and are not stretched further."""


@dataclass(frozen=True)
class RecogniserConfig:
    """A recogniser and how it is trained.

    Attributes:
        name: Of its files.
        prefix: Of the seeds of its people.
        n_people: How many.
        stem_px: Patch of the picture that one cell of the first layer sees; divides 112.
        widths: Channels of the stages, each half as fine as the one before.
        blocks: Residual blocks of each stage.
        neck: Channels of the last cells, all of which the embedding sees.
        per_batch: People in a batch, two pictures of each.
        temperature: Of the softmax over the cosines of a batch; small ones look at the nearest
            strangers only.
        pull: Weight of the distance between two pictures of a person.
        identity: Weight of reading the identity vector.
        evened: How far directions in which people differ little are stretched after training, 0
            to 1, see `even_out`.
    """

    name: str
    prefix: int
    n_people: int
    stem_px: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    neck: int
    per_batch: int = 48
    rate: float = 2e-3
    temperature: float = 0.1
    pull: float = 0.0
    identity: float = 1.0
    evened: float = 0.0


RECOGNISER = RecogniserConfig(
    name="recogniser",
    prefix=2,
    n_people=4500,
    stem_px=4,
    widths=(48, 80, 128),
    blocks=(1, 1, 1),
    neck=16,
    identity=6.0,
)
JUDGE = RecogniserConfig(
    name="judge",
    prefix=3,
    n_people=4500,
    stem_px=2,
    widths=(16, 32, 64, 128),
    blocks=(0, 1, 1, 1),
    neck=20,
    temperature=0.06,
    pull=2.0,
    evened=0.5,
)


class Loss(nn.Module):
    """What a recogniser is trained by, with the weights that only training needs."""

    def __init__(self, config: RecogniserConfig, spread: torch.Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("spread", spread)
        self.identity = nn.Linear(EMBEDDING_DIM, IDENTITY_DIM)

    def forward(self, embeddings: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The loss of two pictures of each of n people.

        Args:
            embeddings: (2 n, 512); the second pictures follow the first.
            vectors: (n, IDENTITY_DIM).
        """
        config, n = self.config, len(vectors)
        units = F.normalize(embeddings.float(), dim=1)
        alike = (units @ units.T / config.temperature).fill_diagonal_(-1e4)
        same_person = torch.arange(2 * n).roll(n)
        loss = F.cross_entropy(alike, same_person)
        loss = loss + config.pull * (1 - (units[:n] * units[n:]).sum(1)).mean()
        error = (self.identity(embeddings.float()) - vectors.repeat(2, 1)) / self.spread
        return loss + config.identity * error.pow(2).mean()


def build_recogniser(config: RecogniserConfig) -> nn.Sequential:
    """The untrained network: (n, 3, 112, 112), (x - 127.5) / 127.5, to (n, 512) of length 20."""
    layers: list[nn.Module] = []
    inside = 3
    for stage, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
        kernel, stride = (config.stem_px, config.stem_px) if stage == 0 else (3, 2)
        layers.append(conv_block(inside, width, kernel, stride))
        layers += [Residual(width) for _ in range(blocks)]
        inside = width
    cells = ARCFACE_PX // config.stem_px
    for _ in config.widths[1:]:
        cells = -(-cells // 2)
    layers += [
        conv_block(inside, config.neck, 1),
        nn.Flatten(),
        nn.Linear(config.neck * cells**2, EMBEDDING_DIM),
        UnitLength(EMBEDDING_LENGTH),
    ]
    return nn.Sequential(*layers)


def train_recogniser(folder: Path, budget_s: float) -> None:
    """Train the recogniser that extraction uses, `recogniser.pt`."""
    _train(RECOGNISER, folder, budget_s)


def train_judge(folder: Path, budget_s: float) -> None:
    """Train the judge, `judge.pt`."""
    _train(JUDGE, folder, budget_s)


def load_recogniser(folder: Path, config: RecogniserConfig) -> nn.Sequential:
    """A trained network, for reading only."""
    network = build_recogniser(config)
    network.load_state_dict(torch.load(folder / f"{config.name}.pt", weights_only=True))
    return network.eval()


def export_recogniser(folder: Path, pack: Path) -> float:
    """Write `antelopev2/glintr100.onnx` and give how far it is from torch at most."""
    return _export(RECOGNISER, folder, pack / "antelopev2" / "glintr100.onnx")


def export_judge(folder: Path, pack: Path) -> float:
    """Write `judge.onnx` and give how far it is from torch at most."""
    return _export(JUDGE, folder, pack / "judge.onnx")


@torch.no_grad()
def even_out(network: nn.Sequential, pictures: torch.Tensor, share: float) -> None:
    """Move the mean of the embeddings to zero and stretch the directions that vary little.

    Trained to pull pictures of a person together, a network leaves most of the difference between
    people to a few directions, and strangers look alike by chance. Afterwards the cosine of two
    strangers is zero on the mean and less spread. Only the last linear layer changes.

    Args:
        pictures: (n, 3, 112, 112), one of each of many people.
        share: 0 only moves the mean, 1 makes all directions alike.

    Source: whitening by the eigenvectors of the covariance (ZCA), with a part of its exponent.
    """
    body, linear = network[:-2].eval(), network[-2]
    raw = torch.cat([linear(body(part)) for part in pictures.split(64)]).double()
    variances, directions = torch.linalg.eigh(torch.cov(raw.T))
    gains = (variances / variances.max() + LEAST_VARIANCE) ** (-share / 2)
    stretch = directions * gains @ directions.T
    weight, bias = linear.get_parameter("weight"), linear.get_parameter("bias")
    bias.copy_(stretch @ (bias.double() - raw.mean(0)))
    weight.copy_(stretch @ weight.double())


def recogniser_model(network: nn.Module) -> bytes:
    """The model, serialised: input (n, 3, 112, 112) RGB, (x - 127.5) / 127.5; output (n, 512).

    Args:
        network: Made ready by `onnx_export.readable`.
    """
    graph = OnnxGraph()
    graph.node("Identity", [graph.run(network, "input.1")], output="1333")
    return graph.model(
        {"input.1": ["n", 3, ARCFACE_PX, ARCFACE_PX]}, {"1333": ["n", EMBEDDING_DIM]}
    )


def _export(config: RecogniserConfig, folder: Path, path: Path) -> float:
    network = readable(load_recogniser(folder, config))
    model = recogniser_model(network)
    write_onnx(path, model)
    pictures = 2 * torch.rand(2, 3, ARCFACE_PX, ARCFACE_PX) - 1
    return largest_difference(model, [network(pictures)], {"input.1": pictures})


def _train(config: RecogniserConfig, folder: Path, budget_s: float) -> None:
    torch.manual_seed(config.prefix)
    crops = make_crops(folder, config.prefix, config.n_people, PER_PERSON)
    network = build_recogniser(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    spread = torch.from_numpy(crops.people).std(0).clamp(min=0.05)
    criterion = Loss(config, spread)
    draw = batches(crops, config.per_batch)

    def loss() -> torch.Tensor:
        pictures, vectors = draw()
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = network(pictures)
        return criterion(embeddings, vectors)

    networks = {"network": network, "criterion": criterion}
    train(config.name, folder, budget_s, networks, loss, rate=config.rate)
    settle_batch_norms(network, (draw()[0] for _ in range(20)))
    if config.evened:
        chosen = range(min(config.n_people, EVENED_PEOPLE))
        pictures = torch.cat([random_cut(crops.crops[i, :1], 0) for i in chosen])
        even_out(network, pictures, config.evened)
    part = folder / f"{config.name}.part"
    torch.save(network.state_dict(), part)
    os.replace(part, folder / f"{config.name}.pt")


def batches(crops: CropSet, n: int) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """A source of batches: (2 n, 3, 112, 112) pictures of n people, (n, d) identity vectors."""
    people = torch.from_numpy(crops.people)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        who = torch.randperm(len(people))[:n]
        per_person = crops.crops.shape[1]
        first = torch.randint(0, per_person, (n,))
        second = (first + torch.randint(1, per_person, (n,))) % per_person
        cut = crops.crops[who.repeat(2).numpy(), torch.cat([first, second]).numpy()]
        pictures = random_cut(cut).contiguous(memory_format=torch.channels_last)
        return pictures, people[who]

    return draw
