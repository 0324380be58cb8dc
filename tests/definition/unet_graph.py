"""SDXL's UNet with PuLID, written from the formulas: what the engine's results are compared to.

Plain and slow on purpose, one picture at a time, in float64 unless asked otherwise. What an
identity does in a layer is `unet_pulid`; here is where the layers are, and all around them.

Sources: Stability-AI/generative-models (sgm/modules/diffusionmodules/openaimodel.py,
sgm/modules/attention.py) for the UNet; ToTheBeginning/PuLID (pulid/pipeline.py,
hack_unet_attn_layers) for the numbers of the layers.

What the engine computes otherwise, so that a tolerance can be derived; `as_engine=True` repeats
it here, and the difference between the two settings is the size of error to expect from an engine
without mistakes:

- inputs of convolutions, and of matrices that are stored in float16, are rounded to float16;
- GELU is the approximation with tanh, from a table with float16 arguments and values;
- all group normalisations add 1e-6 to the variance, also those of the residual blocks and the
  output, where the original adds 1e-5;
- the sines and cosines of the timestep are those of a float32 angle;
- an identity is folded, its keys and values rounded to float16 unless asked otherwise;
- with flash attention, queries, keys and values are rounded to float16, and so is the sum after
  each value that is added to it: on the CPU that costs as much as all else together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from definition.tensor_files import dequantized, read_gguf, read_safetensors
from definition.unet_identity import FoldedUse, with_identities_folded
from definition.unet_pulid import HEAD_DIM, UnetUse, with_identities

__all__ = ["LayerFormula", "UnetGraph", "UnetPerson", "cross_attentions", "size_vector"]

PREFIX = "model.diffusion_model."
GROUPS = 32
SIZE_DIM = 256
"""Width of the embedding of each of six sizes."""
PERIOD = 10000
FOLD_ROWS = 8
"""Rows of a folded identity are a multiple of it."""

LayerFormula = Callable[
    [np.ndarray, np.ndarray, Sequence[UnetUse], np.ndarray, np.ndarray], np.ndarray
]
"""As `unet_pulid.with_identities`: of queries, attention to the text, uses, id_to_k, id_to_v."""

_ADAPTER = re.compile(
    r"(?:id_adapter_attn_layers|ip_adapter)\.([0-9]+)\.(?:id_to_(k|v)|to_(k|v)_ip)\.weight"
)


@dataclass(frozen=True, eq=False)
class UnetPerson:
    """How one person takes part in a picture.

    Attributes:
        use: Tokens, weight, projection and zeros; without a region.
        regions: Where the person is, (T,) for each number of picture tokens T that a layer
            has; None: everywhere.
    """

    use: UnetUse
    regions: Mapping[int, np.ndarray] | None = None

    def in_layer(self, n_picture: int) -> UnetUse:
        if self.regions is None:
            return self.use
        return replace(self.use, region=self.regions[n_picture])


class UnetGraph:
    """A UNet from a gguf file, with PuLID's layers from a safetensors file.

    Args:
        unet: The UNet alone or a checkpoint with it, in any type; quantized weights are used as
            they dequantize.
        pulid: Not needed where nobody is given. Original or renamed tensors.
        dtype: Of all computation but the identities', which is float64.
        as_engine: Round where the engine rounds.
        f16_identities: With `as_engine`: keys and values are folded to float16.
        flash_attention: With `as_engine`: attention rounds as the CPU's flash attention.
        layer_formula: What identities do in a layer, in place of the definition.

    Attributes:
        layers: Number in the PuLID file by name of the cross-attention; may be changed.
    """

    def __init__(
        self,
        unet: str | Path,
        pulid: str | Path | None = None,
        *,
        dtype: torch.dtype = torch.float64,
        as_engine: bool = False,
        f16_identities: bool = True,
        flash_attention: bool = False,
        layer_formula: LayerFormula | None = None,
    ) -> None:
        self.dtype = dtype
        self.as_engine = as_engine
        self.flash_attention = flash_attention
        self.weights: dict[str, Tensor] = {}
        self.f16_matrices: set[str] = set()
        tensors = read_gguf(unet)
        in_checkpoint = any(name.startswith(PREFIX) for name in tensors)
        for full_name, tensor in tensors.items():
            if in_checkpoint and not full_name.startswith(PREFIX):
                continue
            name = full_name.removeprefix(PREFIX)
            self.weights[name] = torch.from_numpy(dequantized(tensor)).to(dtype)
            if as_engine and tensor.tensor_type == gguf.GGMLQuantizationType.F16:
                self.f16_matrices.add(name)
        self.adapter = {} if pulid is None else _adapter(pulid)
        self.layers = {module: 2 * k + 1 for k, module in enumerate(cross_attentions(self.weights))}
        self.channels = self.weights["input_blocks.0.0.weight"].shape[0]
        if layer_formula is not None:
            self.layer_formula = layer_formula
        elif as_engine:
            self.layer_formula = _Folded(f16_identities)
        else:
            self.layer_formula = with_identities

    def noise(
        self,
        x: np.ndarray,
        timestep: float,
        context: np.ndarray,
        y: np.ndarray,
        people: Sequence[UnetPerson] = (),
    ) -> np.ndarray:
        """One evaluation of the model.

        Args:
            x: (4, h, w), the noisy latent divided by sqrt(sigma**2 + 1).
            timestep: 0 to 999.
            context: (n, 2048), the text encoders' hidden states.
            y: (2816,), the pooled text and the sizes, see `size_vector`.
            people: Nobody: a plain UNet.

        Returns:
            (4, h, w), the noise in x.

        Raises:
            ValueError: People, and no layers of a fitting PuLID file.
        """
        if people and set(self.adapter) != set(self.layers.values()):
            raise ValueError(f"{len(self.layers)} identity layers needed, not {len(self.adapter)}")
        text = self._tensor(context)
        emb = time_embedding(timestep, self.channels, in_f32=self.as_engine).to(self.dtype)
        emb = self._embed("time_embed", emb) + self._embed("label_emb.0", self._tensor(y))
        h = self._tensor(x)[None]
        skips = []
        for index in range(self._count("input_blocks")):
            h = self._block(f"input_blocks.{index}", h, emb, text, people)
            skips.append(h)
        h = self._block("middle_block", h, emb, text, people)
        for index in range(self._count("output_blocks")):
            h = torch.cat([h, skips.pop()], dim=1)
            h = self._block(f"output_blocks.{index}", h, emb, text, people)
        h = F.silu(self._group_norm("out.0", h, 1e-5))
        return self._conv("out.2", h)[0].numpy()

    def _block(
        self, name: str, h: Tensor, emb: Tensor, text: Tensor, people: Sequence[UnetPerson]
    ) -> Tensor:
        """A numbered block: its parts one after the other, told by their names."""
        part = 0
        while any(key.startswith(f"{name}.{part}.") for key in self.weights):
            prefix = f"{name}.{part}"
            if f"{prefix}.in_layers.0.weight" in self.weights:
                h = self._res_block(prefix, h, emb)
            elif f"{prefix}.proj_in.weight" in self.weights:
                h = self._transformer(prefix, h, text, people)
            elif f"{prefix}.op.weight" in self.weights:
                h = self._conv(f"{prefix}.op", h, stride=2)
            elif f"{prefix}.conv.weight" in self.weights:
                h = self._conv(f"{prefix}.conv", F.interpolate(h, scale_factor=2))
            else:
                h = self._conv(prefix, h)
            part += 1
        return h

    def _res_block(self, name: str, x: Tensor, emb: Tensor) -> Tensor:
        h = F.silu(self._group_norm(f"{name}.in_layers.0", x, 1e-5))
        h = self._conv(f"{name}.in_layers.2", h)
        h = h + self._linear(f"{name}.emb_layers.1", F.silu(emb))[:, None, None]
        h = F.silu(self._group_norm(f"{name}.out_layers.0", h, 1e-5))
        h = self._conv(f"{name}.out_layers.3", h)
        if f"{name}.skip_connection.weight" in self.weights:
            x = self._conv(f"{name}.skip_connection", x)
        return x + h

    def _transformer(
        self, name: str, x: Tensor, text: Tensor, people: Sequence[UnetPerson]
    ) -> Tensor:
        """Picture tokens go row by row."""
        h = self._group_norm(f"{name}.norm", x, 1e-6)[0].flatten(1).T
        h = self._linear(f"{name}.proj_in", h)
        depth = self._count(f"{name}.transformer_blocks")
        for block in (f"{name}.transformer_blocks.{b}" for b in range(depth)):
            own = self._layer_norm(f"{block}.norm1", h)
            h = h + self._attention(f"{block}.attn1", own, own, ())
            h = h + self._attention(
                f"{block}.attn2", self._layer_norm(f"{block}.norm2", h), text, people
            )
            value, gate = self._linear(
                f"{block}.ff.net.0.proj", self._layer_norm(f"{block}.norm3", h)
            ).chunk(2, dim=1)
            h = h + self._linear(f"{block}.ff.net.2", value * self._gelu(gate))
        return x + self._linear(f"{name}.proj_out", h).T.reshape(x.shape)

    def _attention(
        self, name: str, x: Tensor, source: Tensor, people: Sequence[UnetPerson]
    ) -> Tensor:
        q, k, v = (
            self._linear(f"{name}.to_{part}", tokens)
            for part, tokens in (("q", x), ("k", source), ("v", source))
        )
        attended = _flash_attention if self.flash_attention else _attention
        h = attended(*map(_heads, (q, k, v))).transpose(0, 1).reshape(q.shape)
        if people:
            uses = [person.in_layer(len(q)) for person in people]
            w_k, w_v = self.adapter[self.layers[name]]
            h = self._tensor(self.layer_formula(q.numpy(), h.numpy(), uses, w_k, w_v))
        return self._linear(f"{name}.to_out.0", h)

    def _embed(self, name: str, x: Tensor) -> Tensor:
        return self._linear(f"{name}.2", F.silu(self._linear(f"{name}.0", x)))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        if f"{name}.weight" in self.f16_matrices:
            x = _f16(x)
        return F.linear(x, weight, bias)

    def _conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if self.as_engine:
            x = _f16(x)
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)

    def _group_norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.group_norm(x, GROUPS, weight, bias, 1e-6 if self.as_engine else eps)

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps=1e-5)

    def _gelu(self, x: Tensor) -> Tensor:
        if not self.as_engine:
            return F.gelu(x)
        # Source: ggml, vec.h, ggml_vec_gelu_f32.
        listed = F.gelu(_f16(x).float(), approximate="tanh").to(torch.float16).to(self.dtype)
        return torch.where(x <= -10, 0.0, torch.where(x >= 10, x, listed))

    def _count(self, prefix: str) -> int:
        n = 0
        while any(name.startswith(f"{prefix}.{n}.") for name in self.weights):
            n += 1
        return n

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values)).to(self.dtype)


class _Folded:
    """What the engine does in a layer with folded identities."""

    def __init__(self, f16: bool) -> None:
        self.f16 = f16

    def __call__(
        self,
        q: np.ndarray,
        h: np.ndarray,
        uses: Sequence[UnetUse],
        w_k: np.ndarray,
        w_v: np.ndarray,
    ) -> np.ndarray:
        folded = [
            FoldedUse(self._folded(use, w_k), self._folded(use, w_v).transpose(0, 2, 1), use)
            for use in uses
        ]
        return with_identities_folded(q, h, folded, f16_inputs=self.f16)

    def _folded(self, use: UnetUse, w: np.ndarray) -> np.ndarray:
        """(heads, rows, 64)."""
        n = len(use.tokens)
        made = np.zeros((-(-(n + 1) // FOLD_ROWS) * FOLD_ROWS, len(w)))
        made[:n] = use.tokens.astype(np.float64) @ w.astype(np.float64).T
        rounded = made.astype(np.float16 if self.f16 else np.float32).astype(np.float32)
        return rounded.reshape(len(made), -1, HEAD_DIM).transpose(1, 0, 2)


def cross_attentions(names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Every cross-attention of a UNet, in the order of their numbers in a PuLID file.

    The order is that in which diffusers' UNet registers its blocks: down, up, middle.

    Args:
        names: Of tensors, without `model.diffusion_model.`.
    """
    found = {name.removesuffix(".to_q.weight") for name in names if ".attn2.to_q.weight" in name}

    def position(module: str) -> tuple[int, ...]:
        way = ("input_blocks", "output_blocks", "middle_block").index(module.split(".")[0])
        return way, *(int(part) for part in module.split(".") if part.isdigit())

    return sorted(found, key=position)


def time_embedding(value: float, width: int, *, in_f32: bool = False) -> Tensor:
    """(width,): cosines, then sines, of `value` at frequencies from 1 to 1/10000.

    Args:
        in_f32: Angles are rounded to float32, as in most implementations; with a value of 999
            that is 3e-5.
    """
    dtype = torch.float32 if in_f32 else torch.float64
    half = width // 2
    steps = torch.arange(half, dtype=torch.float64) / half
    angles = value * torch.exp(-math.log(PERIOD) * steps).to(dtype)
    return torch.cat([angles.cos(), angles.sin()]).to(torch.float64)


def size_vector(pooled: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """(1280 + 6 * 256,): the pooled text, then the picture's sizes.

    Original size, upper left corner of the crop, wanted size; heights before widths.
    """
    sizes = (height_px, width_px, 0, 0, height_px, width_px)
    embedded = [time_embedding(size, SIZE_DIM).numpy() for size in sizes]
    return np.concatenate([np.asarray(pooled, np.float64), *embedded])


def _adapter(path: str | Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """id_to_k and id_to_v, each (C, id_dim) float64, by number of the layer."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for name, values in read_safetensors(path).items():
        if match := _ADAPTER.fullmatch(name):
            part = match[2] or match[3]
            found.setdefault(int(match[1]), {})[part] = values.to(torch.float64).numpy()
    return {index: (parts["k"], parts["v"]) for index, parts in found.items()}


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Of (heads, tokens, 64) each."""
    scores = q @ k.transpose(1, 2) / math.sqrt(HEAD_DIM)
    return scores.softmax(dim=-1) @ v


def _flash_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As `_attention`, with its roundings.

    Source: ggml, ops.cpp, ggml_compute_forward_flash_attn_ext_f16 (VKQ16).
    """
    q, k, v = _f16(q), _f16(k), _f16(v)
    scores = q @ k.transpose(1, 2) / math.sqrt(HEAD_DIM)
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    total = torch.zeros_like(q)
    for token in range(v.shape[1]):
        total = _f16(total + powers[:, :, token, None] * v[:, token, None])
    return total / powers.sum(dim=-1, keepdim=True)


def _heads(x: Tensor) -> Tensor:
    """(tokens, n * 64) -> (n, tokens, 64)."""
    return x.reshape(len(x), -1, HEAD_DIM).transpose(0, 1)


def _f16(x: Tensor) -> Tensor:
    return x.to(torch.float16).to(x.dtype)
