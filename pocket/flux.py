"""Flux with PuLID's cross-attention, small enough to be trained; every name is the engine's.

Architecture: black-forest-labs/flux, src/flux/model.py (schnell: no guidance input);
ToTheBeginning/PuLID, pulid/encoders_transformer.py (PerceiverAttentionCA).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Flux", "FluxConfig", "patchify", "sample", "unpatchify"]

HEAD_DIM = 128
ROPE_AXES = (16, 56, 56)
ROPE_THETA = 10_000
TIME_DIM = 256
TEXT_DIM = 4096
CLIP_DIM = 768
PATCH_DIM = 64
T5_TOKENS = 256
"""Without T5 the engine feeds this many tokens of zeros, all at one position. They stay equal
to each other, so one token stands for all of them, with log(256) added to its attention logit.
"""


@dataclass(frozen=True)
class FluxConfig:
    """Sizes.

    Attributes:
        hidden: Width, a multiple of 128.
        depth, depth_single: Double and single blocks.
        grid: Patches from top to bottom: pixels / 16.
        columns: Patches from left to right; None: as many, a square.
        id_dim: Width of an identity token.
        id_heads: Heads of the identity's cross-attention.
    """

    hidden: int = 256
    depth: int = 3
    depth_single: int = 6
    grid: int = 8
    id_dim: int = 512
    id_heads: int = 4
    columns: int | None = None


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x.float(), x.shape[-1:], self.scale, 1e-6)


class QkNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query_norm = RmsNorm(HEAD_DIM)
        self.key_norm = RmsNorm(HEAD_DIM)


class SelfAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = QkNorm()
        self.proj = nn.Linear(width, width)


def modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)


def split_heads(qkv: torch.Tensor, norm: QkNorm) -> tuple[torch.Tensor, ...]:
    query, key, value = qkv.unflatten(-1, (3, -1, HEAD_DIM)).permute(2, 0, 3, 1, 4)
    return norm.query_norm(query), norm.key_norm(key), value


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """(n, heads, tokens, 128) each, one of q and k already scaled -> (n, tokens, width).

    Spelled out: for so few tokens torch's fused kernel is slower on a CPU, above all backwards.
    """
    shares = torch.softmax(q @ k.transpose(-1, -2) + bias, -1)
    return (shares @ v).transpose(1, 2).flatten(2)


class Attend(nn.Module):
    """Rotary positions and attention over the one text token and the picture's."""

    turn: torch.Tensor
    bias: torch.Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        places = torch.zeros(1 + rows * columns, 3, dtype=torch.float64)
        places[1:, 1], places[1:, 2] = row.flatten(), column.flatten()
        angles = []
        for axis, width in enumerate(ROPE_AXES):
            frequencies = ROPE_THETA ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
            angles.append(places[:, axis, None] * frequencies)
        angle = torch.cat(angles, -1)
        turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
        self.register_buffer("turn", turn, persistent=False)
        bias = torch.zeros(1, 1, 1, 1 + rows * columns)
        bias[..., 0] = math.log(T5_TOKENS)
        self.register_buffer("bias", bias, persistent=False)

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.turn).flatten(-2)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k = self.rotate(q * HEAD_DIM**-0.5).to(v.dtype), self.rotate(k).to(v.dtype)
        return attention(q, k, v, self.bias.to(v.dtype))


def mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))


class Modulation(nn.Module):
    """Shifts, scales and gates of a vector."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.lin = nn.Linear(width, outputs * width)


class DoubleBlock(nn.Module):
    img_mod: Modulation
    txt_mod: Modulation
    img_attn: SelfAttention
    txt_attn: SelfAttention
    img_mlp: nn.Sequential
    txt_mlp: nn.Sequential

    def __init__(self, width: int) -> None:
        super().__init__()
        for stream in ("img", "txt"):
            setattr(self, f"{stream}_mod", Modulation(width, 6))
            setattr(self, f"{stream}_attn", SelfAttention(width))
            setattr(self, f"{stream}_mlp", mlp(width))

    def forward(
        self, img: torch.Tensor, txt: torch.Tensor, vec: torch.Tensor, attend: Attend
    ) -> tuple[torch.Tensor, torch.Tensor]:
        a = self.img_mod.lin(vec)[:, None].chunk(6, -1)
        b = self.txt_mod.lin(vec)[:, None].chunk(6, -1)
        q, k, v = split_heads(self.img_attn.qkv(modulated(img, a[0], a[1])), self.img_attn.norm)
        tq, tk, tv = split_heads(self.txt_attn.qkv(modulated(txt, b[0], b[1])), self.txt_attn.norm)
        seen = attend(torch.cat((tq, q), 2), torch.cat((tk, k), 2), torch.cat((tv, v), 2))
        img = torch.addcmul(img, a[2], self.img_attn.proj(seen[:, 1:]))
        img = torch.addcmul(img, a[5], self.img_mlp(modulated(img, a[3], a[4])))
        txt = torch.addcmul(txt, b[2], self.txt_attn.proj(seen[:, :1]))
        txt = torch.addcmul(txt, b[5], self.txt_mlp(modulated(txt, b[3], b[4])))
        return img, txt


class SingleBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, 7 * width)
        self.linear2 = nn.Linear(5 * width, width)
        self.norm = QkNorm()
        self.modulation = Modulation(width, 3)

    def forward(self, x: torch.Tensor, vec: torch.Tensor, attend: Attend) -> torch.Tensor:
        shift, scale, gate = self.modulation.lin(vec)[:, None].chunk(3, -1)
        width = x.shape[-1]
        qkv, inner = self.linear1(modulated(x, shift, scale)).split((3 * width, 4 * width), -1)
        seen = attend(*split_heads(qkv, self.norm))
        out = self.linear2(torch.cat((seen, F.gelu(inner, approximate="tanh")), 2))
        return torch.addcmul(x, gate, out)


class Embedder(nn.Module):
    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(inside, width)
        self.out_layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out_layer(F.silu(self.in_layer(x)))


class IdentityAttention(nn.Module):
    """PuLID's cross-attention: picture tokens ask, identity tokens answer."""

    def __init__(self, width: int, id_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(id_dim)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * HEAD_DIM, bias=False)
        self.to_kv = nn.Linear(id_dim, 2 * heads * HEAD_DIM, bias=False)
        self.to_out = nn.Linear(heads * HEAD_DIM, width, bias=False)

    def forward(self, identity: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        query = self.to_q(self.norm2(img)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        seen = self.to_kv(self.norm1(identity)).unflatten(-1, (2, self.heads, -1))
        key, value = seen.permute(2, 0, 3, 1, 4)
        return self.to_out(attention(query, key * HEAD_DIM**-0.5, value))


class LastLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, PATCH_DIM)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))


class Flux(nn.Module):
    """Predicts the velocity noise - picture of a mix of both.

    Parameters are named as in flux1-schnell's file and, `pulid_ca.*`, in PuLID's.
    """

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.img_in = nn.Linear(PATCH_DIM, width)
        self.time_in = Embedder(TIME_DIM, width)
        self.vector_in = Embedder(CLIP_DIM, width)
        # T5's tokens are zeros: of this layer only the bias is ever seen.
        self.txt_in_bias = nn.Parameter(0.5 * torch.randn(width))
        self.double_blocks = nn.ModuleList(DoubleBlock(width) for _ in range(config.depth))
        self.single_blocks = nn.ModuleList(SingleBlock(width) for _ in range(config.depth_single))
        self.final_layer = LastLayer(width)
        layers = len(range(0, config.depth, 2)) + len(range(0, config.depth_single, 4))
        self.pulid_ca = nn.ModuleList(
            IdentityAttention(width, config.id_dim, config.id_heads) for _ in range(layers)
        )
        self.attend = Attend(config.grid, config.columns or config.grid)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        width = self.config.hidden
        doubles: Iterable[DoubleBlock] = self.double_blocks  # type: ignore[assignment]
        singles: Iterable[SingleBlock] = self.single_blocks  # type: ignore[assignment]
        layers: Iterable[IdentityAttention] = self.pulid_ca  # type: ignore[assignment]
        for block in doubles:
            for modulation in (block.img_mod, block.txt_mod):
                nn.init.zeros_(modulation.lin.weight)
                # Gates that start a little open learn faster than closed ones.
                modulation.lin.bias.data.view(6, width)[[2, 5]] = 0.3
        for single in singles:
            nn.init.zeros_(single.modulation.lin.weight)
            single.modulation.lin.bias.data.view(3, width)[2] = 0.3
        for layer in layers:
            layer.to_out.weight.data.mul_(0.3)
        nn.init.normal_(self.time_in.in_layer.weight, std=0.02)
        nn.init.normal_(self.vector_in.in_layer.weight, std=0.036)
        nn.init.zeros_(self.final_layer.linear.weight)
        nn.init.zeros_(self.final_layer.adaLN_modulation.get_parameter("1.weight"))

    def forward(
        self,
        x: torch.Tensor,
        time: torch.Tensor,
        prompt: torch.Tensor,
        identity: torch.Tensor | None = None,
        weight: torch.Tensor | float = 1.0,
    ) -> torch.Tensor:
        """The velocity.

        Args:
            x: (n, patches, 64) noisy latents in patches, row by row.
            time: (n,) share of noise, 0..1.
            prompt: (n, 768) CLIP-L's pooled output.
            identity: (n, tokens, id_dim), or (n, people, tokens, id_dim) for several, or None for
                nobody.
            weight: id_weight, one for all or (n,); of several people (n, people, patches), in
                every patch another.
        """
        img = self.img_in(x).float()
        vec = self.time_in(time_embedding(time)) + self.vector_in(prompt)
        act = F.silu(vec.float())
        txt = self.txt_in_bias.expand(len(x), 1, -1)
        if isinstance(weight, torch.Tensor):
            weight = weight[:, None, None] if weight.ndim == 1 else weight[..., None]
        layers = iter(self.pulid_ca)
        for index, block in enumerate(self.double_blocks):
            img, txt = block(img, txt, act, self.attend)
            if index % 2 == 0:
                layer = next(layers)
                if identity is not None:
                    img = img + contribution(layer, identity, img, weight)
        both = torch.cat((txt, img), 1)
        for index, block in enumerate(self.single_blocks):
            both = block(both, act, self.attend)
            if index % 4 == 0:
                layer = next(layers)
                if identity is not None:
                    img = both[:, 1:]
                    img = img + contribution(layer, identity, img, weight)
                    both = torch.cat((both[:, :1], img), 1)
        shift, scale = self.final_layer.adaLN_modulation(vec)[:, None].chunk(2, -1)
        return self.final_layer.linear(modulated(both[:, 1:], shift, scale))


def contribution(
    layer: nn.Module,
    identity: torch.Tensor,
    img: torch.Tensor,
    weight: torch.Tensor | float,
) -> torch.Tensor:
    """Of one person, or of several (see `Flux.forward`): the sum, each by his weights."""
    if identity.ndim == 3:
        return weight * layer(identity, img)
    if not isinstance(weight, torch.Tensor):
        raise ValueError(f"several people need a weight in every patch each, found {weight}")
    return sum(
        weight[:, person] * layer(identity[:, person], img) for person in range(identity.shape[1])
    )


def time_embedding(time: torch.Tensor) -> torch.Tensor:
    """(n,) in 0..1 -> (n, 256)."""
    half = TIME_DIM // 2
    frequencies = torch.exp(-math.log(10_000) / half * torch.arange(half, device=time.device))
    angle = 1000 * time.float()[:, None] * frequencies
    return torch.cat((angle.cos(), angle.sin()), -1)


def patchify(latents: torch.Tensor) -> torch.Tensor:
    """(n, 16, h, w) -> (n, h w / 4, 64), channel first within a patch."""
    return F.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def unpatchify(patches: torch.Tensor, rows: int | None = None) -> torch.Tensor:
    """The reverse, of a picture of so many rows of patches; None: a square one."""
    rows = rows or math.isqrt(patches.shape[1])
    return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (rows, -1)), 2)


@torch.no_grad()
def sample(
    model: Flux,
    noise: torch.Tensor,
    prompt: torch.Tensor,
    identity: torch.Tensor | None = None,
    *,
    steps: int = 4,
    weight: torch.Tensor | float = 1.0,
    shift: float = 1.0,
) -> torch.Tensor:
    """Euler's method from noise (n, patches, 64) to latents (n, 16, h, w)."""
    times = torch.linspace(1, 0, steps + 1)
    times = shift * times / (1 + (shift - 1) * times)
    x = noise
    for now, then in pairwise(times):
        velocity = model(x, now.expand(len(x)).to(x.device), prompt, identity, weight)
        x = x + (then - now) * velocity.float()
    return unpatchify(x, model.config.grid)
