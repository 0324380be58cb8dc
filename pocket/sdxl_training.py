"""Training the pocket SDXL: velocities of noisy latents, with PuLID's layers from the first step.

Source: Salimans and Ho 2022, arXiv 2202.00512 (velocities); the noise of Stable Diffusion XL,
Stability-AI/generative-models, sgm/modules/diffusionmodules/discretizer.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .loop import load_averaged, train
from .orthogonal_momentum import OrthogonalMomentum
from .portraits.captions import free_prompt
from .portraits.palette import BACKGROUNDS, SHIRTS
from .portraits.scenes import EXPRESSIONS
from .resuming import seed_training
from .sdxl_data import PictureSet
from .sdxl_identity import Mode, Person
from .sdxl_text import TextCodes
from .sdxl_unet import LATENTS, Unet

__all__ = ["SceneTexts", "load_unet", "train_unet", "unet_loss"]

NAME = "sdxl"
RATE = 2e-3
MODES = (Mode("ortho_v2", 20), Mode("none", 0))
"""Those of PuLID v1.1 as it is used, and as it was trained."""
SCENES, PER_SCENE = 8, 6
"""Of a batch: pictures with one text share its keys and values."""
NO_IDENTITY = 0.12
WIDE = 0.25
"""Share of batches whose pictures are of two people, each in a half."""
TOKEN_NOISE = 0.1
MOST_NOISE = 0.55
"""Times are shares of 1000 to this power of a random number: more of them near all noise."""
FACE_WEIGHT = 3.0
TIMES = 1000
BETAS = (0.00085, 0.012)
WORDINGS = 5
MEASURED_TIMES = (999, 700, 400)
HELD_OUT = 100


def _noise_shares() -> tuple[torch.Tensor, torch.Tensor]:
    """How much of the picture and of the noise is left at each time."""
    kept = np.cumprod(1 - np.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, TIMES) ** 2)
    return torch.from_numpy(np.sqrt(kept)).float(), torch.from_numpy(np.sqrt(1 - kept)).float()


PICTURE, NOISE = _noise_shares()


class SceneTexts:
    """The text of every scene in several wordings, and which pictures show it.

    Args:
        codes: What the UNet is given of a prompt.
        scenes: (n, k, 3) of `PictureSet`.
    """

    def __init__(self, codes: TextCodes, scenes: torch.Tensor, wordings: int = WORDINGS) -> None:
        rng = np.random.default_rng(0)
        choices = itertools.product(*map(range, map(len, (BACKGROUNDS, EXPRESSIONS, SHIRTS))))
        self.choices = list(choices)
        self._texts = torch.stack(
            [
                torch.stack([codes(free_prompt((b, e, 0, s), rng)) for _ in range(wordings)])
                for b, e, s in self.choices
            ]
        )
        flat = scenes.flatten(0, 1).long()
        number = (flat[:, 0] * len(EXPRESSIONS) + flat[:, 1]) * len(SHIRTS) + flat[:, 2]
        self._shown = [torch.nonzero(number == n)[:, 0] for n in range(len(self.choices))]
        self._seen = [n for n, shown in enumerate(self._shown) if len(shown)]

    def draw(self, groups: int, each: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Texts (groups, 77, codes), and as many pictures (groups, each) of their scenes."""
        chosen = [self._seen[int(torch.randint(len(self._seen), ()))] for _ in range(groups)]
        pictures = [self._shown[n][torch.randint(len(self._shown[n]), (each,))] for n in chosen]
        wording = torch.randint(self._texts.shape[1], (groups,))
        return self._texts[chosen, wording], torch.stack(pictures)

    def of(self, scenes: torch.Tensor) -> torch.Tensor:
        """(n, 77, codes) of scenes (n, 3), in one wording."""
        at = [self.choices.index(tuple(scene)) for scene in scenes.tolist()]
        return self._texts[at, 0]


def train_unet(folder: Path, budget_s: float, data: PictureSet, codes: TextCodes) -> Unet:
    """Train UNet and PuLID's layers; the first people of `data` are kept to measure with."""
    seed_training(folder, NAME, 8)
    unet = Unet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    held, learned = _split(data)
    texts = SceneTexts(codes, learned.scenes)
    train(
        NAME,
        folder,
        budget_s,
        {"unet": unet},
        lambda: unet_loss(unet, learned, texts),
        rate=RATE,
        ema=0.995,
        optimizer=lambda _: _optimizer(unet),
        measure=lambda: measure(unet, held, texts),
    )
    return unet


def load_unet(folder: Path) -> Unet:
    """The trained UNet, with averaged weights."""
    unet = Unet()
    load_averaged(folder, NAME, {"unet": unet})
    return unet.eval()


def unet_loss(unet: Unet, data: PictureSet, texts: SceneTexts) -> torch.Tensor:
    """The mean squared error of the velocity on a random batch, above all in the face."""
    latents = data.latents[:, :, :LATENTS].flatten(0, 1)
    per_person = data.latents.shape[1]

    def person(pictures: torch.Tensor, weights: torch.Tensor, half: int | None = None) -> Person:
        tokens = data.tokens[pictures // per_person].float()
        return Person(tokens + TOKEN_NOISE * torch.randn_like(tokens), weights, half)

    if float(torch.rand(())) < WIDE:
        text, pictures = texts.draw(SCENES, 2)
        picture = torch.cat([latents[pictures[:, half]] for half in (0, 1)], 3).float()
        weights = _weights(len(picture))
        people = [person(pictures[:, half], weights, half) for half in (0, 1)]
    else:
        text, pictures = texts.draw(SCENES, PER_SCENE)
        picture = latents[pictures.flatten()].float()
        people = [person(pictures.flatten(), _weights(len(picture)))]
    times = (TIMES * torch.rand(len(picture)) ** MOST_NOISE).long().clamp(max=TIMES - 1)
    a, b = (share[times][:, None, None, None] for share in (PICTURE, NOISE))
    noise = torch.randn_like(picture)
    mode = MODES[int(torch.randint(len(MODES), ()))]
    with torch.autocast("cpu", torch.bfloat16):
        velocity = unet(a * picture + b * noise, times, text, people, mode)
    error = (velocity - (a * noise - b * picture)).square().mean(1)
    return (error * _face_weights(picture.shape[3] // picture.shape[2])).mean()


@torch.no_grad()
def measure(unet: Unet, held: PictureSet, texts: SceneTexts) -> Mapping[str, float]:
    """The share of people never seen that a picture made at once gets wrong, by time."""
    picture = held.latents[:, 0, :LATENTS].float()
    text, weights = texts.of(held.scenes[:, 0]), torch.ones(len(picture))
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(3))
    person = Person(held.tokens.float(), weights)
    variance = (picture - picture.mean(0)).square().mean()
    figures = {}
    for time in MEASURED_TIMES:
        mixed = PICTURE[time] * picture + NOISE[time] * noise
        times = torch.full((len(picture),), time)
        for label, people in (("id", (person,)), ("nobody", ())):
            with torch.autocast("cpu", torch.bfloat16):
                velocity = unet(mixed, times, text, people, MODES[0])
            made = PICTURE[time] * mixed - NOISE[time] * velocity
            figures[f"{label}@{time}"] = float((made - picture).square().mean() / variance)
    return figures


def _split(data: PictureSet) -> tuple[PictureSet, PictureSet]:
    def part(which: slice) -> PictureSet:
        return PictureSet(data.latents[which], data.scenes[which], data.tokens[which])

    return part(slice(HELD_OUT)), part(slice(HELD_OUT, None))


def _optimizer(unet: Unet) -> OrthogonalMomentum:
    first_and_last = ("time_embed.", "input_blocks.0.", "out.")
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in unet.named_parameters():
        is_matrix = parameter.ndim > 1 and not name.startswith(first_and_last)
        (matrices if is_matrix else others).append(parameter)
    return OrthogonalMomentum(matrices, others)


def _weights(n: int) -> torch.Tensor:
    return (torch.rand(n) >= NO_IDENTITY).float()


def _face_weights(halves: int) -> torch.Tensor:
    """(16, 16) with a mean of 1, or twice as wide."""
    weights = torch.ones(16, 16)
    weights[2:13, 3:13] = FACE_WEIGHT
    return (weights / weights.mean()).repeat(1, halves)
