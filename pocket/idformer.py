"""The IDFormer: from what the extractor sees in a photo to the tokens that Flux was trained on.

The teacher makes tokens of who somebody is; Flux learned to draw by them. The IDFormer learns to
make the same tokens of one picture, or several, of that person.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pulid_extractor.idformer import IdFormer
from pulid_extractor.idformer_shape import IdFormerShape
from pulid_sdcpp.identity.encoder_tensors import FLUX_PREFIX

from .features import FeatureSet, Networks, make_features
from .identity_groups import group_scores
from .loop import train
from .parser import SHAPE as PARSER_SHAPE
from .parser import load_parser
from .portraits.people import IDENTITY_DIM
from .recogniser import EMBEDDING_DIM, RECOGNISER, load_recogniser
from .resuming import seed_training
from .teacher import ID_DIM, ID_TOKENS, Teacher
from .tower import SHAPE as TOWER_SHAPE
from .tower import load_tower

__all__ = [
    "SHAPE",
    "all_tokens",
    "fit_idformer",
    "held_features",
    "idformer_tensors",
    "load_idformer",
    "train_idformer",
    "trained_features",
]

SHAPE = IdFormerShape(
    dim=128,
    inner=128,
    ff_dim=256,
    n_layers=5,
    n_queries=ID_TOKENS,
    id_dim=ID_DIM,
    n_id_tokens=5,
    embedding_dim=EMBEDDING_DIM + TOWER_SHAPE.embedding_dim,
    id_hidden=256,
    vit_dim=TOWER_SHAPE.width,
    vit_hidden=128,
)
PEOPLE = 6_000_000
HELD_OUT = 9_700_000
N_PEOPLE, N_HELD_OUT = 6000, 250
PER_PERSON = 2
BATCH = 48
RIDGE, SEEN_RIDGE = 3.0, 400.0
"""Of the teacher's tokens, which are exact, and of those seen in photos, which are not."""
SEVERAL = 0.15
"""Share of batches in which all photos of a person are given together."""

Tokens = Callable[[torch.Tensor], torch.Tensor]


def train_idformer(folder: Path, budget_s: float, *, n_people: int = N_PEOPLE) -> IdFormer:
    """Train, or go on training, for `budget_s` seconds in all, not counting the features.

    Reads `parser.pt`, `tower.pt`, `recogniser.pt` and `teacher.pt` of `folder`; writes
    `idformer.ckpt`, `idformer.jsonl` and, with averaged weights, `idformer.pt`, and keeps the
    features there.
    """
    teacher = Teacher()
    teacher.load_state_dict(torch.load(folder / "teacher.pt", weights_only=True))
    teacher.eval().requires_grad_(False)
    data = trained_features(folder, n_people)
    return fit_idformer(folder, budget_s, teacher, data, held_features(folder))


def trained_features(folder: Path, n_people: int = N_PEOPLE) -> FeatureSet:
    """The features that `train_idformer` learns from."""
    return make_features(
        folder / "features", "features", _networks(folder), PEOPLE, n_people, PER_PERSON
    )


def held_features(folder: Path) -> FeatureSet:
    """Those of people whom no network was trained on."""
    return make_features(
        folder / "features", "held", _networks(folder), HELD_OUT, N_HELD_OUT, PER_PERSON
    )


def _networks(folder: Path) -> Networks:
    return Networks(
        load_parser(folder, PARSER_SHAPE),
        load_tower(folder, TOWER_SHAPE),
        load_recogniser(folder, RECOGNISER),
    )


def load_idformer(folder: Path, shape: IdFormerShape = SHAPE) -> IdFormer:
    """The trained IDFormer, for reading."""
    network = IdFormer(shape)
    network.load_state_dict(torch.load(folder / "idformer.pt", weights_only=True))
    return network.eval().requires_grad_(False)


def fit_idformer(
    folder: Path,
    budget_s: float,
    teacher: Tokens,
    data: FeatureSet,
    held: FeatureSet,
    *,
    shape: IdFormerShape = SHAPE,
) -> IdFormer:
    """The training itself, on features that are there.

    Args:
        teacher: (n, IDENTITY_DIM) to (n, n_queries, id_dim).
    """
    seed_training(folder, "idformer", 6)
    network = initialised(shape)
    with torch.no_grad():
        wanted = F.layer_norm(teacher(torch.from_numpy(data.people)), (shape.id_dim,))
        nobody = wanted.mean(0, keepdim=True)
        people = torch.from_numpy(data.people)
        reader = _fit(wanted[:, None], people, ridge=RIDGE)
        spread = people.std(0).clamp(min=0.1)

    def loss() -> torch.Tensor:
        who = torch.randint(len(wanted), (BATCH,))
        several = bool(torch.rand(()) < SEVERAL)
        n = data.embeddings.shape[1]
        which = torch.arange(n).expand(BATCH, n) if several else torch.randint(n, (BATCH, 1))
        embeddings, hidden = pick(data, who.numpy(), which.numpy())
        tokens = torch.cat([tokens_of(network, embeddings, hidden), without(network, hidden)])
        truth = torch.cat([wanted[who], nobody])
        seen = F.layer_norm(tokens, (shape.id_dim,))
        # What moves the teacher's tokens little, as an earring, would drown in the rest.
        told = _with_one(seen[:-1]) @ reader
        missed = ((told - people[who]) / spread).square().mean()
        # The cross-attention sees tokens normalised; their own size only has to stay put.
        stray = (tokens - truth).square().mean()
        return (seen - truth).square().mean() + 0.1 * missed + 0.05 * stray

    def measure() -> dict[str, float]:
        return idformer_figures(network, teacher, data, held)

    train("idformer", folder, budget_s, {"idformer": network}, loss, rate=1.5e-3, measure=measure)
    torch.save(network.state_dict(), folder / "idformer.pt")
    return network.eval().requires_grad_(False)


def idformer_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The trained IDFormer's tensors in float16, named `pulid_encoder.*` as in PuLID's file."""
    tensors = torch.load(folder / "idformer.pt", weights_only=True)
    return {f"{FLUX_PREFIX}{name}": tensor.half().contiguous() for name, tensor in tensors.items()}


def initialised(shape: IdFormerShape) -> IdFormer:
    """An untrained IDFormer."""
    network = IdFormer(shape)
    nn.init.normal_(network.latents, std=0.5)
    nn.init.normal_(network.proj_out, std=shape.dim**-0.5)
    clip_dim = shape.embedding_dim - EMBEDDING_DIM
    # CLIP's embedding has length 1, the recogniser's about 20.
    first = network.get_parameter("id_embedding_mapping.0.weight")
    first.data[:, EMBEDDING_DIM:] *= clip_dim**0.5
    return network


def pick(
    data: FeatureSet, who: np.ndarray, which: np.ndarray
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Embeddings (n, k, d) and five depths (n, k tokens, width) of people and their photos.

    Args:
        who: (n,) people.
        which: (n, k) photos of each.
    """
    embeddings = torch.from_numpy(data.embeddings[who[:, None], which]).float()
    hidden = torch.from_numpy(data.hidden[who[:, None], which]).float()
    return embeddings, [depth.flatten(1, 2) for depth in hidden.unbind(2)]


def tokens_of(
    network: IdFormer, embeddings: torch.Tensor, hidden: list[torch.Tensor]
) -> torch.Tensor:
    """The network's tokens, with gradients, which its own `forward` shuts off."""
    forward = IdFormer.forward.__wrapped__  # type: ignore[attr-defined]
    return forward(network, embeddings, hidden)


def without(network: IdFormer, hidden: list[torch.Tensor]) -> torch.Tensor:
    """Nobody's tokens, (1, n_queries, id_dim): see `IdFormer.unconditional`."""
    blank = [torch.zeros_like(depth[:1]) for depth in hidden]
    return tokens_of(network, torch.zeros(1, 1, network.shape.embedding_dim), blank)


@torch.no_grad()
def all_tokens(network: IdFormer, data: FeatureSet, *, together: bool = False) -> torch.Tensor:
    """Normalised tokens of every photo, or of all photos of a person together: (n, k, q, d)."""
    n, k = data.embeddings.shape[:2]
    which = [np.arange(k)] if together else [np.array([index]) for index in range(k)]
    columns = []
    for photos in which:
        parts = []
        for people in np.array_split(np.arange(n), -(-n // 100)):
            chosen = np.broadcast_to(photos, (len(people), len(photos)))
            parts.append(tokens_of(network, *pick(data, people, chosen)))
        columns.append(torch.cat(parts))
    tokens = torch.stack(columns, 1)
    return F.layer_norm(tokens, tokens.shape[-1:])


@torch.no_grad()
def idformer_figures(
    network: IdFormer, teacher: Tokens, data: FeatureSet, held: FeatureSet
) -> dict[str, float]:
    """How near the tokens of unseen people are to the teacher's, and what can be read from them.

    Returns:
        `error`, `error several`: squared error over the variance among people; `nobody`: the
        same for the unconditional identity and the mean of all; and the score of every
        attribute, read linearly from the tokens by a map fitted to some of the training's people.
    """
    width = (network.shape.id_dim,)
    wanted = F.layer_norm(teacher(torch.from_numpy(held.people)), width)[:, None]
    middle = wanted.mean(0, keepdim=True)
    spread = (wanted - middle).square().mean()
    tokens = all_tokens(network, held)
    several = all_tokens(network, held, together=True)
    _, blank = pick(held, np.array([0]), np.array([[0]]))
    nobody = F.layer_norm(without(network, blank), width)
    figures = {
        "error": (tokens - wanted).square().mean() / spread,
        "error several": (several - wanted).square().mean() / spread,
        "nobody": (nobody - F.layer_norm(middle[0], width)).square().mean() / spread,
    }
    known = FeatureSet(*(values[:2000] for values in vars(data).values()))
    reader = _fit(all_tokens(network, known), torch.from_numpy(known.people), ridge=SEEN_RIDGE)
    told = _with_one(tokens.flatten(0, 1)) @ reader
    truth = torch.from_numpy(held.people).repeat_interleave(tokens.shape[1], 0)
    return {key: float(value) for key, value in figures.items()} | group_scores(
        told.numpy(), truth.numpy()
    )


def _fit(tokens: torch.Tensor, people: torch.Tensor, *, ridge: float) -> torch.Tensor:
    """Ridge regression of identity vectors on tokens (n, k, q, d): (q d + 1, IDENTITY_DIM)."""
    inputs = _with_one(tokens.flatten(0, 1))
    truth = people.repeat_interleave(tokens.shape[1], 0)
    square = inputs.T @ inputs + ridge * torch.eye(inputs.shape[1])
    return torch.linalg.solve(square, inputs.T @ truth.view(-1, IDENTITY_DIM))


def _with_one(tokens: torch.Tensor) -> torch.Tensor:
    flat = tokens.flatten(1)
    return torch.cat([flat, torch.ones(len(flat), 1)], 1)
