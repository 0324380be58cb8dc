"""The LoRA for two people side by side, 256 x 128 pixels, each in his half.

Flux was trained on one person in 8 x 8 patches. On the right of that it knows neither where it is
nor whom to look at; the LoRA learns just this, while Flux stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from . import train_flux
from .export import DESCRIPTION
from .flux import Flux, patchify
from .loop import load_averaged, train
from .lora import Lora, write_lora
from .pairs import PairSet
from .prompt_code import prompt_code
from .resuming import seed_training
from .teacher import Teacher

__all__ = [
    "each_half",
    "export_two_people",
    "halves",
    "load_lora",
    "pair_loss",
    "train_two_people",
    "with_lora",
]

LORA_FILE = "loras/two-people.safetensors"
RANK = 5
BATCH = 16
RATE = 3e-3
NOBODY = 0.1
"""Share of halves without an identity."""
UNMENTIONED = 0.15
"""Share of each attribute that the prompt leaves open, and both halves have in common still."""
TRUTH = 0.5
"""Share of the picture in what is asked for; the rest is what Flux says of each half."""
MEASURED_TIMES = (1.0, 0.7, 0.4, 0.15)


def train_two_people(
    folder: Path, budget_s: float, flux: Flux, data: PairSet, held: PairSet, device: str = "cpu"
) -> Lora:
    """Train, or go on training, for `budget_s` seconds in all.

    Args:
        flux: For one person; stays as it is.
    """
    seed_training(folder, "two_people", 5)
    wide, lora = with_lora(flux)
    wide, lora, flux = wide.to(device), lora.to(device), flux.to(device).requires_grad_(False)
    teacher = Teacher().requires_grad_(False).to(device)
    teacher.load_state_dict(torch.load(folder / "teacher.pt", weights_only=True))
    train(
        "two_people",
        folder,
        budget_s,
        {"lora": lora},
        lambda: pair_loss(wide, flux, teacher, data),
        rate=RATE,
        weight_decay=0.0,
        measure=lambda: measure(wide, flux, held),
    )
    return lora


def with_lora(flux: Flux) -> tuple[Flux, Lora]:
    """A copy of a Flux for pictures twice as wide, and the LoRA in it."""
    config = flux.config
    wide = Flux(replace(config, columns=2 * config.grid))
    wide.load_state_dict(flux.state_dict())
    return wide, Lora(wide, RANK)


def load_lora(folder: Path, flux: Flux) -> tuple[Flux, Lora]:
    """The same, trained."""
    wide, lora = with_lora(flux)
    load_averaged(folder, "two_people", {"lora": lora})
    return wide.eval(), lora


def halves(grid: int) -> torch.Tensor:
    """(2, patches) masks of the left and the right half of a picture twice as wide as high."""
    masks = torch.zeros(2, grid, 2 * grid)
    masks[0, :, :grid] = masks[1, :, grid:] = 1
    return masks.flatten(1)


def pair_loss(wide: Flux, flux: Flux, teacher: Teacher, data: PairSet) -> torch.Tensor:
    """The squared error of the velocity on a random batch, above all in the faces.

    What is asked for is partly what Flux says of each half on its own: nearly the same as the
    picture, but without chance. Not where the prompt leaves something open: there the halves
    must agree.
    """
    device = flux.img_in.weight.device
    which = torch.randint(len(data.who), (BATCH,))
    said = train_flux.unmentioned(data.scenes[which], UNMENTIONED)
    prompt = train_flux.noisy(prompt_code(said)).to(device)
    identity = identity_tokens(data, teacher, data.who[which], device)
    weight = (torch.rand(BATCH, 2) >= NOBODY).float().to(device)
    time = train_flux.sampled_times(BATCH).to(device)
    picture = data.latents[which].float().to(device)
    noise = torch.randn_like(picture)
    mixed = picture + time[:, None, None, None] * (noise - picture)
    masks = weight[:, :, None] * halves(flux.config.grid).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        velocity = wide(patchify(mixed), time, prompt, identity, masks)
        with torch.no_grad():
            alone = each_half(flux, mixed, time, prompt, identity, weight)
    is_open = (said != data.scenes[which]).any(1)
    truth = torch.where(is_open, 1.0, TRUTH).to(device)[:, None, None]
    wanted = torch.lerp(alone, patchify(noise - picture), truth)
    error = (velocity.float() - wanted).square().mean(-1)
    return (error * face_weights(flux.config.grid).to(device)).mean()


def each_half(
    flux: Flux,
    latents: torch.Tensor,
    time: torch.Tensor,
    prompt: torch.Tensor,
    identity: torch.Tensor,
    weight: torch.Tensor,
) -> torch.Tensor:
    """What a Flux for one person says of both halves, each on its own: (n, patches, 64)."""
    parts = torch.cat(latents.chunk(2, -1))
    both = flux(
        patchify(parts),
        time.repeat(2),
        prompt.repeat(2, 1),
        torch.cat((identity[:, 0], identity[:, 1])),
        torch.cat((weight[:, 0], weight[:, 1])),
    )
    rows = both.float().unflatten(1, (flux.config.grid, -1))
    return torch.cat(rows.chunk(2), 2).flatten(1, 2)


def identity_tokens(
    data: PairSet, teacher: Teacher, who: torch.Tensor, device: torch.device
) -> torch.Tensor:
    """(n, 2, 8, 256): seen in photos in most batches, else what the teacher knows."""
    if float(torch.rand(())) < train_flux.PHOTOS:
        photo = torch.randint(data.tokens.shape[1], who.shape)
        return data.tokens[who, photo].float().to(device)
    vectors = data.people[who].to(device)
    noisy = vectors + train_flux.VECTOR_NOISE * torch.randn_like(vectors)
    return teacher(noisy.flatten(0, 1)).unflatten(0, (-1, 2))


def face_weights(grid: int) -> torch.Tensor:
    """(patches,): `train_flux.face_weights` twice."""
    return train_flux.face_weights().view(grid, grid).repeat(1, 2).flatten()


@torch.no_grad()
def measure(wide: Flux, flux: Flux, held: PairSet) -> Mapping[str, float]:
    """The error on people never seen, by share of noise, and Flux's own on each half alone."""
    generator = torch.Generator().manual_seed(7)
    device = flux.img_in.weight.device
    picture = held.latents.float()
    noise = torch.randn(picture.shape, generator=generator).to(device)
    picture = picture.to(device)
    prompt = prompt_code(held.scenes).to(device)
    identity = held.tokens[held.who, 0].float().to(device)
    weight = torch.ones(len(picture), 2, device=device)
    masks = halves(flux.config.grid).to(device).expand(len(picture), -1, -1)
    figures = {}
    with torch.autocast(device.type, torch.bfloat16):
        for share in MEASURED_TIMES:
            mixed = picture + share * (noise - picture)
            time = torch.full((len(picture),), share, device=device)
            both = wide(patchify(mixed), time, prompt, identity, masks)
            alone = each_half(flux, mixed, time, prompt, identity, weight)
            for label, velocity in (("both", both), ("alone", alone)):
                error = (velocity.float() - patchify(noise - picture)).square().mean()
                figures[f"{label}@{share}"] = float(error)
    return figures


def export_two_people(folder: Path, pack: Path) -> None:
    """Write the trained LoRA into a pack, whose manifest then is out of date."""
    _, lora = load_lora(folder, Flux(train_flux.CONFIG))
    path = pack / LORA_FILE
    path.parent.mkdir(exist_ok=True)
    write_lora(path, lora, DESCRIPTION)
