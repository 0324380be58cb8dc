"""A whole picture of SDXL by the definitions: two text encoders, sampling, decoding.

The engine draws the same initial noise when its `rng_type` is "cpu", which repeats torch's
generator. For stand-in weights: of their text encoders only the first layer is not zero.

Sources: Stability-AI/generative-models (sgm/modules/encoders/modules.py, configs/inference/
sd_xl_base.yaml); stable-diffusion.cpp, src/conditioner.hpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from definition import clip_l, taef1
from definition.picture import WORDS
from definition.samplers import dpmpp_2m, dpmpp_sde
from definition.tensor_files import dequantized, read_gguf, read_safetensors
from definition.unet_graph import UnetGraph, UnetPerson, size_vector
from definition.unet_schedules import Epsilon, denoiser, guided, karras, sgm_uniform

__all__ = ["SdxlText", "UnetPictures"]

TOKENS = 77
END_PADDING, ZERO_PADDING = clip_l.END, 0
"""What follows the end of a text in CLIP-L and in CLIP-G."""
LATENT_CHANNELS = 4


class SdxlText:
    """What SDXL's two text encoders make of a text.

    Args:
        files: By role, as make_sdxl_standin_weights() returns them.
        as_engine: Round where the engine rounds: with random weights in 4 bits that changes a
            picture as much as all else together.
    """

    def __init__(self, files: Mapping[str, Path], *, as_engine: bool = False) -> None:
        self._clip_l, self._clip_g = read_gguf(files["clip_l"]), read_gguf(files["clip_g"])
        self._projection = torch.from_numpy(dequantized(self._clip_g["text_projection.weight"]))
        self._as_engine = as_engine

    def context(self, text: str) -> np.ndarray:
        """(77, 768 + 1280) float32: both encoders' states one layer before the last.

        Not normalised. Of the stand-ins the first layer's output is that of all that follow.
        """
        states = [
            clip_l.hidden_states(encoder, _ids(text, padding), 1, as_engine=self._as_engine)
            for encoder, padding in ((self._clip_l, END_PADDING), (self._clip_g, ZERO_PADDING))
        ]
        return torch.cat(states, dim=1).numpy()

    def negative_context(self, text: str) -> np.ndarray:
        """As `context`; zeros for an empty text."""
        return self.context(text) * bool(text)

    def pooled(self, text: str) -> np.ndarray:
        """(1280,) float32: CLIP-G's last output at the end of the text, projected."""
        words = [WORDS[word] for word in text.split()]
        end = clip_l.pooled(self._clip_g, words, 1, as_engine=self._as_engine)
        return F.linear(end, self._projection).numpy()


class UnetPictures:
    """A model whose pictures are made with "dpm++2m" and "sgm_uniform", as Lightning wants it, or
    with "dpm++sde" and "karras", as its merges do.

    Args:
        files: By role, as make_sdxl_standin_weights() returns them, with "unet-f16".
        pulid: Role of PuLID's weights.
        as_engine: Compute in float32 and round where the engine rounds.
    """

    def __init__(self, files: Mapping[str, Path], pulid: str, *, as_engine: bool = False) -> None:
        dtype = torch.float32 if as_engine else torch.float64
        self._text = SdxlText(files, as_engine=as_engine)
        self._unet = UnetGraph(files["unet-f16"], files[pulid], dtype=dtype, as_engine=as_engine)
        self._taesd = read_safetensors(files["taesd"])

    def picture(
        self,
        prompt: str,
        *,
        width: int,
        height: int,
        steps: int,
        seed: int,
        people: Sequence[UnetPerson] = (),
        negative_people: Sequence[UnetPerson] = (),
        negative_prompt: str = "",
        cfg_scale: float = 1.0,
        sde_eta: float | None = None,
    ) -> np.ndarray:
        """Generate a picture.

        Args:
            prompt: Words of `WORDS`.
            negative_people: What the negative pass has in place of `people`.
            negative_prompt: Empty: its states are zeros, its pooled vector is not.
            cfg_scale: Other than 1: true guidance with the negative prompt.
            sde_eta: None: "dpm++2m" with "sgm_uniform"; else "dpm++sde" with this eta and "karras",
                whose noise follows the initial one in torch's generator.

        Returns:
            (height, width, 3) float32 of 0..255, not rounded.
        """

        def epsilon(context: np.ndarray, words: str, people: Sequence[UnetPerson]) -> Epsilon:
            y = size_vector(self._text.pooled(words), width, height)
            return lambda x, timestep: self._unet.noise(x, timestep, context, y, people)

        seen = epsilon(self._text.context(prompt), prompt, people)
        if cfg_scale != 1:
            context = self._text.negative_context(negative_prompt)
            seen = guided(seen, epsilon(context, negative_prompt, negative_people), cfg_scale)
        generator = torch.Generator().manual_seed(seed)

        def normal() -> np.ndarray:
            shape = (LATENT_CHANNELS, height // 8, width // 8)
            numbers: np.ndarray = torch.randn(shape, generator=generator).numpy()
            return numbers

        noise = normal()
        if sde_eta is None:
            sigmas = sgm_uniform(steps).sigmas
            latent = dpmpp_2m(denoiser(seen), noise * sigmas[0], sigmas)
        else:
            sigmas = karras(steps).sigmas
            latent = dpmpp_sde(denoiser(seen), noise * sigmas[0], sigmas, normal, eta=sde_eta)
        image = taef1.decode(self._taesd, torch.from_numpy(latent).float())
        return (image.clamp(0, 1) * 255).permute(1, 2, 0).numpy()


def _ids(text: str, padding: int) -> list[int]:
    ids = [clip_l.START, *(WORDS[word] for word in text.split()), clip_l.END]
    return ids + [padding] * (TOKENS - len(ids))
