"""Training Flux and its cross-attention on the drawn world, with flow matching.

Source: Lipman et al. 2023, arXiv 2210.02747; the velocity noise - picture as in Flux.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from .dataset import LatentSet
from .flux import Flux, FluxConfig, patchify
from .loop import load_averaged, train
from .prompt_code import ATTRIBUTES, CODE_DIM, prompt_code
from .resuming import seed_training
from .teacher import Teacher

__all__ = ["CONFIG", "load_flux", "train_flux", "tune_flux"]

CONFIG = FluxConfig(hidden=256, depth=2, depth_single=6, grid=8, id_dim=256, id_heads=4)
BATCH = 64
RATE = 1e-3
PHOTOS = 0.6
"""Share of batches with identities seen in photos, in the second part."""
NO_IDENTITY = 0.25
"""Share of pictures drawn of nobody in particular."""
UNMENTIONED = 0.08
"""Share of each attribute that the prompt leaves open."""
VECTOR_NOISE = 0.04
FACE_WEIGHT = 3.0
"""Of an error in the middle of the picture, beside one at its edge."""
MEASURED_TIMES = (1.0, 0.7, 0.4, 0.15)
MEASURED = 192


def train_flux(
    folder: Path,
    budget_s: float,
    data: LatentSet,
    held: LatentSet,
    device: str = "cpu",
) -> tuple[Flux, Teacher]:
    """First part: Flux, its cross-attention and the teacher together, at a constant rate.

    At the end `teacher.pt` in `folder` is what the IDFormer learns to say.
    """
    seed_training(folder, "flux", 1)
    flux, teacher = Flux(CONFIG).to(device), Teacher().to(device)
    train(
        "flux",
        folder,
        budget_s,
        {"flux": flux, "teacher": teacher},
        lambda: flux_loss(flux, teacher, data),
        rate=RATE,
        decay_share=0.05,
        measure=lambda: measure(flux, teacher, held),
    )
    torch.save(teacher.cpu().state_dict(), folder / "teacher.pt")
    return flux, teacher


def tune_flux(
    folder: Path,
    budget_s: float,
    data: LatentSet,
    photos: LatentSet | None,
    held: LatentSet,
    device: str = "cpu",
) -> Flux:
    """Second part: with the teacher fixed, and identities as the IDFormer sees them in photos.

    Args:
        photos: With `tokens`; None where the IDFormer is not trained yet.
    """
    flux, teacher = Flux(CONFIG), Teacher().requires_grad_(False)
    load_averaged(folder, "flux", {"flux": flux, "teacher": Teacher()})
    teacher.load_state_dict(torch.load(folder / "teacher.pt", weights_only=True))
    flux, teacher = flux.to(device), teacher.to(device)
    seed_training(folder, "tuning", 2)

    def loss() -> torch.Tensor:
        seen = photos is not None and float(torch.rand(())) < PHOTOS
        return flux_loss(flux, teacher, photos if seen and photos is not None else data)

    train(
        "tuning",
        folder,
        budget_s,
        {"flux": flux},
        loss,
        rate=RATE,
        measure=lambda: measure(flux, teacher, held),
    )
    return flux


def load_flux(folder: Path) -> Flux:
    """The tuned Flux, with averaged weights."""
    flux = Flux(CONFIG)
    load_averaged(folder, "tuning", {"flux": flux})
    return flux.eval()


def flux_loss(flux: Flux, teacher: Teacher, data: LatentSet) -> torch.Tensor:
    """The mean squared error of the velocity on a random batch, above all in the face."""
    people, per_person = data.scenes.shape[:2]
    who, which = torch.randint(people, (BATCH,)), torch.randint(per_person, (BATCH,))
    device = flux.img_in.weight.device
    picture = patchify(data.latents[who, which].float()).to(device)
    prompt = noisy(prompt_code(unmentioned(data.scenes[who, which]))).to(device)
    weight = (torch.rand(BATCH) >= NO_IDENTITY).float().to(device)
    time = sampled_times(BATCH).to(device)
    noise = torch.randn_like(picture)
    mixed = picture + time[:, None, None] * (noise - picture)
    with torch.autocast(device.type, torch.bfloat16):
        velocity = flux(mixed, time, prompt, identity_tokens(data, teacher, who, device), weight)
    error = (velocity.float() - (noise - picture)).square().mean(-1)
    return (error * face_weights().to(device)).mean()


def face_weights() -> torch.Tensor:
    """(grid**2,) with a mean of 1: faces lie in the middle, and are what is hard to draw."""
    weights = torch.ones(CONFIG.grid, CONFIG.grid)
    weights[1:7, 2:6] = FACE_WEIGHT
    return (weights / weights.mean()).flatten()


def identity_tokens(
    data: LatentSet, teacher: Teacher, who: torch.Tensor, device: torch.device
) -> torch.Tensor:
    """What the IDFormer saw in one of the person's photos, or else what the teacher knows."""
    if data.tokens is not None:
        photo = torch.randint(data.tokens.shape[1], who.shape)
        return data.tokens[who, photo].float().to(device)
    vectors = data.people[who].to(device)
    return teacher(vectors + VECTOR_NOISE * torch.randn_like(vectors))


def sampled_times(count: int) -> torch.Tensor:
    """Shares of noise: most in the middle, where the picture is decided, some anywhere."""
    middle = torch.sigmoid(0.2 + 1.1 * torch.randn(count))
    return torch.where(torch.rand(count) < 0.3, torch.rand(count), middle)


def unmentioned(scenes: torch.Tensor, share: float = UNMENTIONED) -> torch.Tensor:
    """(n, 4) scenes, a share of whose attributes is replaced by "not mentioned"."""
    counts = torch.tensor([len(choices) for choices in ATTRIBUTES.values()])
    dropped = torch.rand(scenes.shape) < share
    return torch.where(dropped, counts, scenes.long())


def noisy(prompt: torch.Tensor) -> torch.Tensor:
    """Prompt codes as a text encoder makes them: not quite one-hot."""
    prompt = prompt.clone()
    prompt[:, :CODE_DIM] += 0.4 * torch.randn(len(prompt), CODE_DIM)
    return prompt


@torch.no_grad()
def measure(flux: Flux, teacher: Teacher, held: LatentSet) -> Mapping[str, float]:
    """The same error for people never seen, by share of noise, with and without identity."""
    generator = torch.Generator().manual_seed(7)
    device = flux.img_in.weight.device
    picture = patchify(held.latents[:MEASURED, 0].float()).to(device)
    prompt = prompt_code(held.scenes[:MEASURED, 0]).to(device)
    noise = torch.randn(picture.shape, generator=generator).to(device)
    figures = {}
    with torch.autocast(device.type, torch.bfloat16):
        tokens = teacher(held.people[:MEASURED].to(device))
        for time in MEASURED_TIMES:
            mixed = (1 - time) * picture + time * noise
            times = torch.full((MEASURED,), time, device=device)
            for label, identity in (("id", tokens), ("nobody", None)):
                velocity = flux(mixed, times, prompt, identity)
                error = (velocity.float() - (noise - picture)).square().mean()
                figures[f"{label}@{time}"] = float(error)
    return figures
