"""SDXL's UNet in small, with PuLID's layers, for training.

Parameters are named as in the published files, without `model.diffusion_model.`; those of PuLID
are `id_to_k` and `id_to_v`, in the order of their numbers in its file. Sizes and CLIP-G say nothing
here: one bias stands for them. The text is its codes alone (`prompt_code`), of each of its tokens.

Source of the layout: Stability-AI/generative-models, openaimodel.py; stable-diffusion.cpp,
src/unet.hpp, whose group norms add 1e-6 everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .prompt_code import CODE_DIM
from .sdxl_identity import HEAD_DIM, Mode, Person, heads, identity_delta
from .teacher import ID_DIM

__all__ = ["CHANNELS", "DEPTHS", "GROUPS", "LATENTS", "Unet"]

CHANNELS = 32
DEPTHS = (1, 1)
LATENTS = 4
GROUPS = 32
_LEVELS = 3
_EPSILON = 1e-6
_QUIET = 0.3
"""Of what transformer blocks add, at first."""
_ID_KEYS, _ID_VALUES = 0.7, 0.5
"""Deviation of PuLID's keys and values, at first."""
_PERIOD = 10000
_PARTS = ("input_blocks", "output_blocks", "middle_block")


class Unet(nn.Module):
    """Predicts velocities of latents of 4 channels.

    Args:
        channels: Of the first level, a multiple of 32.
        depths: Transformer blocks of each attention on the second and third level.
    """

    def __init__(self, channels: int = CHANNELS, depths: tuple[int, int] = DEPTHS) -> None:
        super().__init__()
        self.channels = channels
        time, widths, depth_of = 4 * channels, [channels << n for n in range(_LEVELS)], (0, *depths)
        self.time_embed = nn.Sequential(nn.Linear(channels, time), nn.SiLU(), nn.Linear(time, time))
        self.label = nn.Parameter(torch.zeros(time))
        first = nn.Conv2d(LATENTS, channels, 3, padding=1)
        self.input_blocks = nn.ModuleList([nn.ModuleList([first])])
        width, skips = channels, [channels]
        for level in range(_LEVELS):
            for _ in range(2):
                block = _block(width, widths[level], time, depth_of[level])
                width = widths[level]
                self.input_blocks.append(block)
                skips.append(width)
            if level < _LEVELS - 1:
                self.input_blocks.append(nn.ModuleList([_Down(width)]))
                skips.append(width)
        middle = [_Res(width, width, time), _Transformer(width, depths[1])]
        self.middle_block = nn.ModuleList([*middle, _Res(width, width, time)])
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(_LEVELS)):
            for n in range(3):
                block = _block(width + skips.pop(), widths[level], time, depth_of[level])
                width = widths[level]
                if level and n == 2:
                    block.append(_Up(width))
                self.output_blocks.append(block)
        self.out = nn.Sequential(_Norm(width), nn.SiLU(), nn.Conv2d(width, LATENTS, 3, padding=1))
        _zero(self.out[2])
        self.layers = _attention_names(self)
        parts = dict(self.named_modules())
        rows = [parts[name].width for name in self.layers]
        self.id_to_k = _matrices(rows, _ID_KEYS)
        self.id_to_v = _matrices(rows, _ID_VALUES)
        for number, name in enumerate(self.layers):
            parts[name].number = number

    def forward(
        self,
        latents: torch.Tensor,
        times: torch.Tensor,
        text: torch.Tensor,
        people: Sequence[Person] = (),
        mode: Mode | None = None,
    ) -> torch.Tensor:
        """Velocities.

        Args:
            latents: (n, 4, h, w), noisy, of about unit variance.
            times: (n,) 0 to 999.
            text: (groups, 77, CODE_DIM): of as many pictures each, the first first.
            mode: How the people are added.

        Returns:
            Like `latents`, float32.
        """
        emb = self.time_embed(_waves(times, self.channels)) + self.label
        identity = _Identity(people, self.id_to_k, self.id_to_v, mode or Mode("none", 0))
        hidden = latents.contiguous(memory_format=torch.channels_last)
        skips = []
        for block in self.input_blocks:
            hidden = _through(block, hidden, emb, text, identity)
            skips.append(hidden)
        hidden = _through(self.middle_block, hidden, emb, text, identity)
        for block in self.output_blocks:
            hidden = torch.cat([hidden, skips.pop()], 1)
            hidden = _through(block, hidden, emb, text, identity)
        velocities: torch.Tensor = self.out(hidden).float()
        return velocities


class _Identity:
    """Everybody in the batch, and the layers that add them."""

    def __init__(
        self, people: Sequence[Person], keys: nn.ParameterList, values: nn.ParameterList, mode: Mode
    ) -> None:
        self.people, self.keys, self.values, self.mode = people, keys, values, mode

    def added(self, queries: torch.Tensor, text: torch.Tensor, number: int) -> torch.Tensor:
        """`text` with everybody, each against the text alone; float32 as in the original."""
        if not self.people:
            return text
        with torch.autocast(text.device.type, enabled=False):
            queries, text = queries.float(), text.float()
            layer = self.keys[number], self.values[number], self.mode
            deltas = [identity_delta(queries, text, person, *layer) for person in self.people]
            return text + torch.stack(deltas).sum(0)


def _through(
    block: Any, x: torch.Tensor, emb: torch.Tensor, text: torch.Tensor, identity: _Identity
) -> torch.Tensor:
    for part in block:
        if isinstance(part, _Res):
            x = part(x, emb)
        elif isinstance(part, _Transformer):
            x = part(x, text, identity)
        else:
            x = part(x)
    return x


def _block(inside: int, outside: int, time: int, depth: int) -> nn.ModuleList:
    parts: list[nn.Module] = [_Res(inside, outside, time)]
    return nn.ModuleList([*parts, _Transformer(outside, depth)] if depth else parts)


class _Res(nn.Module):
    def __init__(self, inside: int, outside: int, time: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(_Norm(inside), nn.SiLU(), _conv(inside, outside))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, outside))
        self.out_layers = nn.Sequential(
            _Norm(outside), nn.SiLU(), nn.Identity(), _conv(outside, outside)
        )
        _zero(self.out_layers[3])
        same = inside == outside
        self.skip_connection = nn.Identity() if same else nn.Conv2d(inside, outside, 1)

    def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        hidden = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        added: torch.Tensor = self.out_layers(hidden)
        return self.skip_connection(x) + added


class _Down(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halved: torch.Tensor = self.op(x)
        return halved


class _Up(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        doubled: torch.Tensor = self.conv(F.interpolate(x, scale_factor=2))
        return doubled


class _Transformer(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.norm = _Norm(width)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList(_Layer(width) for _ in range(depth))
        _zero(self.proj_out)

    def forward(self, x: torch.Tensor, text: torch.Tensor, identity: _Identity) -> torch.Tensor:
        tokens = self.proj_in(self.norm(x).permute(0, 2, 3, 1).flatten(1, 2))
        for layer in self.transformer_blocks:
            tokens = layer(tokens, text, identity)
        added = self.proj_out(tokens).unflatten(1, x.shape[2:])
        return x + added.permute(0, 3, 1, 2)


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = _Attention(width, width), _TextAttention(width)
        self.ff = _FeedForward(width)

    def forward(self, x: torch.Tensor, text: torch.Tensor, identity: _Identity) -> torch.Tensor:
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2.with_people(self.norm2(x), text, identity)
        fed: torch.Tensor = self.ff(self.norm3(x))
        return x + fed


class _Attention(nn.Module):
    def __init__(self, width: int, source: int) -> None:
        super().__init__()
        self.width = width
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k, self.to_v = (nn.Linear(source, width, bias=False) for _ in range(2))
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self.to_out[0].get_parameter("weight").data.mul_(_QUIET)

    def forward(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = self.to_out(self.seen(self.to_q(x), source))
        return seen

    def seen(self, queries: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Softmax written out: for so few tokens it is faster than the fused one."""
        q, k, v = (heads(x) for x in (queries, self.to_k(source), self.to_v(source)))
        shares = (q @ k.transpose(-1, -2) / math.sqrt(HEAD_DIM)).softmax(-1).to(v.dtype)
        return (shares @ v).transpose(1, 2).flatten(2)


class _TextAttention(_Attention):
    """attn2: of pictures with one text, the queries are asked at once."""

    number: int

    def __init__(self, width: int) -> None:
        super().__init__(width, CODE_DIM)

    def with_people(self, x: torch.Tensor, text: torch.Tensor, identity: _Identity) -> torch.Tensor:
        queries = self.to_q(x)
        grouped = queries.reshape(len(text), -1, self.width)
        seen = self.seen(grouped, text).view(queries.shape)
        mixed: torch.Tensor = self.to_out(identity.added(heads(queries), seen, self.number))
        return mixed


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(4 * width, width)
        last.weight.data.mul_(_QUIET)
        self.net = nn.Sequential(_Gated(width), nn.Identity(), last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fed: torch.Tensor = self.net(x)
        return fed


class _Gated(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate, approximate="tanh")


class _Norm(nn.Module):
    """A group norm; torch's own takes several times as long for channels that lie together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = _GroupNorm.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return normed


class _GroupNorm(torch.autograd.Function):
    """y = x * scale + shift, with both from sums over the picture; sums are float32."""

    @staticmethod
    def forward(
        context: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        flat, n = _pixels(x), x.shape[0]
        count = flat.shape[1]
        mean = _of_groups(flat.sum(1, dtype=torch.float32) / count)
        square = _of_groups(flat.square().sum(1, dtype=torch.float32) / count)
        inverse = (square - mean.square()).clamp(min=0).add(_EPSILON).rsqrt()
        scale = inverse * weight
        shift = bias - mean * scale
        context.save_for_backward(flat, weight, mean, inverse)
        context.shape = x.shape
        out = torch.addcmul(shift[:, None].to(flat.dtype), flat, scale[:, None].to(flat.dtype))
        return _picture(out.view(n, count, -1), x.shape)

    @staticmethod
    def backward(
        context: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        flat, weight, mean, inverse = context.saved_tensors
        upper = _pixels(gradient).to(flat.dtype)
        total = upper.sum(1, dtype=torch.float32)
        along = (upper * flat).sum(1, dtype=torch.float32)
        along = (along - mean * total) * inverse  # with the normalised input
        count = flat.shape[1]
        slope = -inverse.square() * _of_groups(along * weight) / count
        offset = -inverse * _of_groups(total * weight) / count - slope * mean
        scale = (inverse * weight)[:, None].to(flat.dtype)
        below = torch.addcmul(offset[:, None].to(flat.dtype), upper, scale)
        below = torch.addcmul(below, flat, slope[:, None].to(flat.dtype))
        return _picture(below, context.shape), along.sum(0), total.sum(0)


def _pixels(x: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) -> (n, h * w, c)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _picture(x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    n, width, height, breadth = shape
    return x.view(n, height, breadth, width).permute(0, 3, 1, 2)


def _of_groups(x: torch.Tensor) -> torch.Tensor:
    """(n, c) -> the same, each channel with the mean of its group."""
    grouped = x.unflatten(1, (GROUPS, -1))
    return grouped.mean(2, keepdim=True).expand_as(grouped).flatten(1)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _matrices(rows: Sequence[int], deviation: float) -> nn.ParameterList:
    return nn.ParameterList(
        nn.Parameter(deviation * ID_DIM**-0.5 * torch.randn(n, ID_DIM)) for n in rows
    )


def _attention_names(unet: nn.Module) -> list[str]:
    """Down, up, middle: not the order in which they are computed."""

    def place(name: str) -> tuple[int, ...]:
        numbers: Iterator[int] = (int(part) for part in name.split(".") if part.isdigit())
        return _PARTS.index(name.partition(".")[0]), *numbers

    found = (name for name, part in unet.named_modules() if isinstance(part, _TextAttention))
    return sorted(found, key=place)


def _waves(times: torch.Tensor, width: int) -> torch.Tensor:
    steps = torch.arange(width // 2, device=times.device) / (width // 2)
    angles = times[:, None].float() * torch.exp(-math.log(_PERIOD) * steps)
    return torch.cat([angles.cos(), angles.sin()], -1)
