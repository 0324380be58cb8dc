"""Flux with PuLID, written from the formulas: what the engine's results are compared to.

Plain and slow on purpose, one image at a time, in float64 unless asked otherwise. The
identity attention is *not* folded here: it is the cross-attention of the publication.

Sources: black-forest-labs/flux (model.py, modules/layers.py, math.py) for Flux;
ToTheBeginning/PuLID (pulid/encoders_transformer.py, flux/model.py) for the identity
attention and its places.

What the engine is expected to do less exactly, so that a tolerance can be derived:

- a matrix stored in float16 is multiplied with its input rounded to float16, sums being
  float32. `f16_inputs=True` repeats that rounding here. The difference between the two
  settings is the size of error to expect from an engine without mistakes.
- the folded identity attention in float16: 3.5e-4 of its contribution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from definition.tensor_files import dequantized, read_gguf, read_safetensors

__all__ = ["FluxPulid", "euler", "guided", "sigmas"]

AXES = (16, 56, 56)
"""Dimensions of a head that turn with the image index, the row and the column."""
HEAD_DIM = sum(AXES)
THETA = 10000.0
TIME_DIM = 256
TIME_FACTOR = 1000.0
PATCH = 2

Identities = Sequence[tuple[np.ndarray, float]]
"""Of each person (tokens (n, id_dim), weight): one number, or one for each image token."""


class FluxPulid:
    """A Flux from a gguf file, with PuLID's layers from a safetensors file.

    Args:
        flux: gguf in any type; quantized weights are used as they dequantize.
        pulid: Not needed where no identity is given.
        dtype: Of all computation.
        f16_inputs: Round the input of every matrix that is stored in float16 to float16.
    """

    def __init__(
        self,
        flux: str | Path,
        pulid: str | Path | None = None,
        *,
        dtype: torch.dtype = torch.float64,
        f16_inputs: bool = False,
    ) -> None:
        self.dtype = dtype
        self.weights: dict[str, Tensor] = {}
        self.f16_matrices: set[str] = set()
        for full_name, tensor in read_gguf(flux).items():
            name = full_name.removeprefix("model.diffusion_model.")
            self.weights[name] = torch.from_numpy(dequantized(tensor)).to(dtype)
            if f16_inputs and tensor.tensor_type == gguf.GGMLQuantizationType.F16:
                self.f16_matrices.add(name)
        if pulid is not None:
            for name, values in read_safetensors(pulid).items():
                if name.startswith("pulid_ca."):
                    self.weights[name] = values.to(dtype)
        self.depth = self._count("double_blocks.{}.img_attn.qkv.weight")
        self.depth_single = self._count("single_blocks.{}.linear1.weight")
        self.pulid_layers = self._count("pulid_ca.{}.to_q.weight")
        self.hidden = self.weights["txt_in.weight"].shape[0]
        self.guidance_embed = "guidance_in.in_layer.weight" in self.weights

    def velocity(
        self,
        x: np.ndarray,
        timestep: float,
        context: np.ndarray,
        y: np.ndarray,
        guidance: float = 0.0,
        identities: Identities = (),
        reference: np.ndarray | None = None,
    ) -> np.ndarray:
        """One evaluation of the model.

        Args:
            x: (16, h, w), the noisy latent.
            timestep: 0..1, the noise's share (sigma).
            context: (n, context_in_dim), T5's output.
            y: (vec_in_dim,), CLIP-L's pooled output.
            guidance: For a model with a guidance input; others ignore it.
            identities: Their contributions are added up. None: plain Flux.
            reference: (16, h', w'), a Kontext reference latent; it gets no identity.

        Returns:
            (16, h, w), the model's output: noise minus image.
        """
        img = patchify(self._tensor(x))
        ids = image_positions(x.shape[1], x.shape[2], index=0)
        tokens = len(img)
        if reference is not None:
            img = torch.cat([img, patchify(self._tensor(reference))])
            extra = image_positions(reference.shape[1], reference.shape[2], index=1)
            ids = torch.cat([ids, extra])
        txt = self._tensor(context)
        turns = rotations(torch.cat([torch.zeros(len(txt), 3), ids]).to(torch.float64))
        turns = turns.to(self.dtype)
        people = [
            (self._tensor(person), self._tensor(np.asarray(weight)).reshape(-1, 1))
            for person, weight in identities
        ]
        if people and self.pulid_layers != self._layers_needed():
            raise ValueError(
                f"{self._layers_needed()} identity layers needed, found {self.pulid_layers}"
            )

        vec = self._embed("time_in", time_embedding(timestep).to(self.dtype))
        if self.guidance_embed:
            vec = vec + self._embed("guidance_in", time_embedding(guidance).to(self.dtype))
        vec = vec + self._embed("vector_in", self._tensor(y))

        img = self._linear("img_in", img)
        txt = self._linear("txt_in", txt)
        layer = 0
        for i in range(self.depth):
            img, txt = self._double_block(f"double_blocks.{i}", img, txt, vec, turns)
            if i % 2 == 0:
                img = self._add_identity(layer, img, tokens, people)
                layer += 1
        both = torch.cat([txt, img])
        for i in range(self.depth_single):
            both = self._single_block(f"single_blocks.{i}", both, vec, turns)
            if i % 4 == 0:
                img = self._add_identity(layer, both[len(txt) :], tokens, people)
                both = torch.cat([both[: len(txt)], img])
                layer += 1
        img = both[len(txt) : len(txt) + tokens]

        shift, scale = self._linear("final_layer.adaLN_modulation.1", F.silu(vec)).chunk(2)
        out = self._linear("final_layer.linear", modulated(img, shift, scale))
        return unpatchify(out, x.shape[1], x.shape[2]).numpy()

    def cross_attention(self, layer: int, identity: Tensor, x: Tensor) -> Tensor:
        """PuLID's layer: identity (n, id_dim), image tokens x (T, hidden) -> (T, hidden)."""
        prefix = f"pulid_ca.{layer}"
        identity = self._layer_norm(f"{prefix}.norm1", identity)
        x = self._layer_norm(f"{prefix}.norm2", x)
        q = x @ self.weights[f"{prefix}.to_q.weight"].T
        k, v = (identity @ self.weights[f"{prefix}.to_kv.weight"].T).chunk(2, dim=1)
        out = attention(heads(q), heads(k), heads(v))
        return out @ self.weights[f"{prefix}.to_out.weight"].T

    def _add_identity(
        self, layer: int, img: Tensor, tokens: int, people: Sequence[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Only the generated tokens, which come first, get an identity."""
        generated = img[:tokens]
        for identity, weight in people:
            generated = generated + weight * self.cross_attention(layer, identity, img[:tokens])
        return torch.cat([generated, img[tokens:]])

    def _double_block(
        self, prefix: str, img: Tensor, txt: Tensor, vec: Tensor, turns: Tensor
    ) -> tuple[Tensor, Tensor]:
        streams = {"img": img, "txt": txt}
        modulation = {
            name: self._linear(f"{prefix}.{name}_mod.lin", F.silu(vec)).chunk(6) for name in streams
        }
        qkv = {}
        for name, x in streams.items():
            shift, scale = modulation[name][:2]
            projected = self._linear(f"{prefix}.{name}_attn.qkv", modulated(x, shift, scale))
            qkv[name] = self._query_key_value(f"{prefix}.{name}_attn.norm", projected)
        q, k, v = (torch.cat([t, i], dim=1) for t, i in zip(qkv["txt"], qkv["img"], strict=True))
        mixed = attention(rotated(q, turns), rotated(k, turns), v)
        mixed_of = {"txt": mixed[: len(txt)], "img": mixed[len(txt) :]}
        for name, x in streams.items():
            _, _, gate1, shift2, scale2, gate2 = modulation[name]
            x = x + gate1 * self._linear(f"{prefix}.{name}_attn.proj", mixed_of[name])
            h = self._linear(f"{prefix}.{name}_mlp.0", modulated(x, shift2, scale2))
            h = self._linear(f"{prefix}.{name}_mlp.2", F.gelu(h, approximate="tanh"))
            streams[name] = x + gate2 * h
        return streams["img"], streams["txt"]

    def _single_block(self, prefix: str, x: Tensor, vec: Tensor, turns: Tensor) -> Tensor:
        shift, scale, gate = self._linear(f"{prefix}.modulation.lin", F.silu(vec)).chunk(3)
        projected = self._linear(f"{prefix}.linear1", modulated(x, shift, scale))
        qkv, mlp = projected[:, : 3 * self.hidden], projected[:, 3 * self.hidden :]
        q, k, v = self._query_key_value(f"{prefix}.norm", qkv)
        mixed = attention(rotated(q, turns), rotated(k, turns), v)
        out = torch.cat([mixed, F.gelu(mlp, approximate="tanh")], dim=1)
        return x + gate * self._linear(f"{prefix}.linear2", out)

    def _query_key_value(self, norm: str, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (heads(part) for part in qkv.chunk(3, dim=1))
        q = rms_norm(q, self.weights[f"{norm}.query_norm.scale"])
        k = rms_norm(k, self.weights[f"{norm}.key_norm.scale"])
        return q, k, v

    def _embed(self, prefix: str, x: Tensor) -> Tensor:
        return self._linear(f"{prefix}.out_layer", F.silu(self._linear(f"{prefix}.in_layer", x)))

    def _linear(self, prefix: str, x: Tensor) -> Tensor:
        name = f"{prefix}.weight"
        if name in self.f16_matrices:
            x = x.to(torch.float16).to(self.dtype)
        return x @ self.weights[name].T + self.weights[f"{prefix}.bias"]

    def _layer_norm(self, prefix: str, x: Tensor) -> Tensor:
        weight, bias = self.weights[f"{prefix}.weight"], self.weights[f"{prefix}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps=1e-5)

    def _layers_needed(self) -> int:
        return math.ceil(self.depth / 2) + math.ceil(self.depth_single / 4)

    def _count(self, name: str) -> int:
        n = 0
        while name.format(n) in self.weights:
            n += 1
        return n

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values)).to(self.dtype)


def patchify(x: Tensor) -> Tensor:
    """(c, h, w) -> (tokens, c * 2 * 2): rows of patches; in a patch channel, row, column.

    An odd height or width is padded with zeros below or at the right.
    """
    c, h, w = x.shape
    x = F.pad(x, (0, w % PATCH, 0, h % PATCH))
    x = x.reshape(c, (h + 1) // PATCH, PATCH, (w + 1) // PATCH, PATCH)
    return x.permute(1, 3, 0, 2, 4).reshape(-1, c * PATCH * PATCH)


def unpatchify(tokens: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `patchify`, for a latent of h x w without its padding."""
    rows, columns = (h + 1) // PATCH, (w + 1) // PATCH
    x = tokens.reshape(rows, columns, -1, PATCH, PATCH).permute(2, 0, 3, 1, 4)
    return x.reshape(-1, rows * PATCH, columns * PATCH)[:, :h, :w]


def image_positions(h: int, w: int, index: int) -> Tensor:
    """(tokens, 3) float64: image index, row and column of each patch. Text is at 0, 0, 0."""
    rows = torch.arange((h + 1) // PATCH, dtype=torch.float64)
    columns = torch.arange((w + 1) // PATCH, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2)
    return torch.cat([torch.full((len(grid), 1), float(index), dtype=torch.float64), grid], dim=1)


def rotations(positions: Tensor) -> Tensor:
    """(tokens, 3) -> (tokens, 64, 2, 2): the rotation of each pair of a head's dimensions."""
    angles = torch.cat(
        [
            positions[:, axis : axis + 1]
            * THETA ** (-torch.arange(0, dim, 2, dtype=positions.dtype) / dim)
            for axis, dim in enumerate(AXES)
        ],
        dim=1,
    )
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).reshape(*angles.shape, 2, 2)


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Turn each pair (2i, 2i + 1) of x (heads, tokens, 128) by its token's rotation."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    return torch.einsum("tpij,htpj->htpi", turns, pairs).reshape(x.shape)


def time_embedding(value: float) -> Tensor:
    """(256,) float64: cosines, then sines, of 1000 * value at frequencies from 1 to 1/10000."""
    half = TIME_DIM // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
    angles = TIME_FACTOR * value * frequencies
    return torch.cat([angles.cos(), angles.sin()])


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return (1 + scale) * F.layer_norm(x, x.shape[-1:], eps=1e-6) + shift


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6) * scale


def heads(x: Tensor) -> Tensor:
    """(tokens, n * 128) -> (n, tokens, 128)."""
    return x.reshape(len(x), -1, HEAD_DIM).transpose(0, 1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each (n, tokens, 128) -> (query tokens, n * 128)."""
    scores = q @ k.transpose(1, 2) / math.sqrt(HEAD_DIM)
    return (scores.softmax(dim=-1) @ v).transpose(0, 1).reshape(q.shape[1], -1)


def guided(positive: np.ndarray, negative: np.ndarray, cfg_scale: float) -> np.ndarray:
    """True classifier-free guidance of two velocities."""
    return negative + cfg_scale * (positive - negative)


def sigmas(steps: int, mu: float) -> np.ndarray:
    """(steps + 1,) float64: Flux's schedule, from 1 to 0.

    Source: black-forest-labs/flux, src/flux/sampling.py, get_schedule and time_shift.
    """
    t = np.linspace(1, 0, steps + 1)[:-1]
    return np.append(math.exp(mu) / (math.exp(mu) + (1 / t - 1)), 0.0)


def schedule_mu(width: int, height: int, guidance_embed: bool) -> float:
    """How far the schedule of a picture (pixels) is moved: not at all without a guidance input.

    Source: as `sigmas`, get_lin_function through (256, 0.5) and (4096, 1.15).
    """
    image_tokens = (width // 16) * (height // 16)
    return 0.5 + (1.15 - 0.5) * (image_tokens - 256) / (4096 - 256) if guidance_embed else 0.0


def euler(
    velocity: Callable[[np.ndarray, float, int], np.ndarray], x: np.ndarray, schedule: np.ndarray
) -> np.ndarray:
    """Follow `velocity(x, sigma, step)` along the schedule; steps count from 0."""
    for step, (sigma, following) in enumerate(itertools.pairwise(schedule)):
        x = x + (following - sigma) * velocity(x, float(sigma), step)
    return x
