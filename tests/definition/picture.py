"""A whole picture by the definitions: text vector, sampling, decoding.

The engine draws the same initial noise when its `rng_type` is "cpu", which repeats torch's
generator. For stand-in weights (their text encoder has one layer that is not zero), without T5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from definition import autoencoder_kl, clip_l, taef1
from definition.flux_pulid import (
    FluxPulid,
    Identities,
    euler,
    guided,
    schedule_mu,
    sigmas,
)
from definition.samplers import dpmpp_sde
from definition.tensor_files import read_gguf, read_safetensors

__all__ = ["WORDS", "picture"]

WORDS = {"a": 320, "red": 736, "car": 1615}
"""CLIP's numbers of a few words."""
T5_TOKENS = 256
"""What the engine feeds where there is no T5: so many tokens of zeros."""
VAE_SCALE, VAE_SHIFT = 0.3611, 0.1159
"""Of ae.safetensors. Source: black-forest-labs/flux, util.py."""


def picture(
    files: Mapping[str, Path],
    prompt: str,
    *,
    width: int,
    height: int,
    steps: int,
    seed: int,
    guidance: float = 3.5,
    identities: Identities = (),
    identity_steps: range | None = None,
    negative_prompt: str = "",
    negative_identities: Identities = (),
    cfg_scale: float = 1.0,
    decoder: str = "taesd",
    text_vectors: Mapping[str, np.ndarray] | None = None,
    reference: np.ndarray | None = None,
    sde_eta: float | None = None,
) -> np.ndarray:
    """Generate with the "flux" scheduler.

    Args:
        files: By role, as make_standin_weights() returns them.
        prompt: Words of `WORDS`.
        identity_steps: Steps (from 0) that have an identity; all when None.
        negative_identities: What the negative pass has in place of `identities`.
        cfg_scale: Other than 1: true guidance with the negative prompt.
        decoder: "taesd" or "vae".
        text_vectors: (768,) by prompt, instead of asking the stand-in text encoder.
        reference: (height, width, 3) uint8, a Kontext reference of the picture's size.
        sde_eta: None: the sampler is "euler"; else it is "dpm++sde" with this eta.

    Returns:
        (height, width, 3) float32 of 0..255, not rounded.
    """
    model = FluxPulid(files["flux-f16"], files["pulid"])
    context = np.zeros((T5_TOKENS, model.weights["txt_in.weight"].shape[1]), np.float32)

    def text_vector(text: str) -> np.ndarray:
        if text_vectors is not None:
            return text_vectors[text]
        ids: Sequence[int] = [WORDS[word] for word in text.split()]
        return clip_l.pooled(read_gguf(files["clip_l"]), ids, layers=1).numpy()

    positive = text_vector(prompt)
    negative = positive if cfg_scale == 1 else text_vector(negative_prompt)

    tiny = read_safetensors(files["taesd"])
    seen = None if reference is None else taef1.encode(tiny, _pixels(reference)).numpy()

    def velocity(x: np.ndarray, sigma: float, step: int) -> np.ndarray:
        with_identity = identity_steps is None or step in identity_steps
        people = identities if with_identity else ()
        out = model.velocity(x, sigma, context, positive, guidance, people, seen)
        if cfg_scale == 1:
            return out
        people = negative_identities if with_identity else ()
        other = model.velocity(x, sigma, context, negative, guidance, people, seen)
        return guided(out, other, cfg_scale)

    generator = torch.Generator().manual_seed(seed)

    def normal() -> np.ndarray:
        numbers: np.ndarray = torch.randn(16, height // 8, width // 8, generator=generator).numpy()
        return numbers

    noise = normal()
    schedule = sigmas(steps, schedule_mu(width, height, model.guidance_embed))
    if sde_eta is None:
        latent = euler(velocity, noise, schedule)
    else:
        step_of = _step_counter(schedule)
        latent = dpmpp_sde(
            lambda x, sigma: x - sigma * velocity(x, sigma, step_of(sigma)),
            noise, schedule, normal, eta=sde_eta, is_flow=True,
        )  # fmt: skip
    latent = torch.from_numpy(latent).float()
    weights = read_safetensors(files[decoder])
    if decoder == "taesd":
        image = taef1.decode(weights, latent)
    else:
        image = (autoencoder_kl.decode(weights, latent / VAE_SCALE + VAE_SHIFT) + 1) / 2
    return (image.clamp(0, 1) * 255).permute(1, 2, 0).numpy()


def _step_counter(schedule: np.ndarray) -> Callable[[float], int]:
    """The step, from 0, that a level of the schedule or between two of it belongs to."""
    return lambda sigma: int((schedule[:-1] >= sigma - 1e-9).sum()) - 1


def _pixels(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)
