"""The vision tower against its definition, written with loops in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pulid_extractor.eva_shape import EvaShape
from pulid_extractor.eva_vision import load_eva, rope_table, rotate
from pulid_sdcpp.errors import ModelFileError
from standin.extractor.networks import eva_tensors

Float = NDArray[np.float64]
CPU = torch.device("cpu")
HEADS, DEPTH, GRID, PATCH_PX = 2, 6, 3, 4
WIDTH, MLP, OUT = HEADS * 64, 80, 24


def small_tower(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights in EVA-CLIP's layout, every one of them away from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.2) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    def norm(name: str, width: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + normal(width), f"{name}.bias": normal(width)}

    def linear(name: str, inside: int, outside: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": normal(outside, inside), f"{name}.bias": normal(outside)}

    t = {
        "cls_token": normal(1, 1, WIDTH),
        "pos_embed": normal(1, 1 + GRID**2, WIDTH),
        "patch_embed.proj.weight": normal(WIDTH, 3, PATCH_PX, PATCH_PX),
        "patch_embed.proj.bias": normal(WIDTH),
        **norm("norm", WIDTH),
        **linear("head", WIDTH, OUT),
    }
    for index in range(DEPTH):
        b = f"blocks.{index}"
        t |= norm(f"{b}.norm1", WIDTH) | norm(f"{b}.norm2", WIDTH)
        t |= norm(f"{b}.attn.inner_attn_ln", WIDTH) | norm(f"{b}.mlp.ffn_ln", MLP)
        for name in ("q", "k", "v"):
            t[f"{b}.attn.{name}_proj.weight"] = normal(WIDTH, WIDTH)
        t[f"{b}.attn.q_bias"], t[f"{b}.attn.v_bias"] = normal(WIDTH), normal(WIDTH)
        t |= linear(f"{b}.attn.proj", WIDTH, WIDTH)
        t |= linear(f"{b}.mlp.w1", WIDTH, MLP) | linear(f"{b}.mlp.w2", WIDTH, MLP)
        t |= linear(f"{b}.mlp.w3", MLP, WIDTH)
    return {f"visual.{name}": value for name, value in t.items()}


def definition(tensors: dict[str, torch.Tensor], picture: Float) -> tuple[Float, list[Float]]:
    """The tower as its papers say it: patch by patch, head by head, rotation as e^(i angle)."""
    t = {name.removeprefix("visual."): value.double().numpy() for name, value in tensors.items()}

    def layer_norm(x: Float, name: str) -> Float:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
        return centred / deviation * t[f"{name}.weight"] + t[f"{name}.bias"]

    def linear(x: Float, name: str) -> Float:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    tokens = [t["cls_token"][0, 0]]
    for row in range(GRID):
        for column in range(GRID):
            y, x = row * PATCH_PX, column * PATCH_PX
            patch = picture[:, y : y + PATCH_PX, x : x + PATCH_PX]
            weights = t["patch_embed.proj.weight"]
            tokens.append((weights * patch).sum(axis=(1, 2, 3)) + t["patch_embed.proj.bias"])
    x = np.stack(tokens) + t["pos_embed"][0]

    def turned(head: Float) -> Float:
        out = head.copy()
        for token in range(1, len(head)):
            row, column = divmod(token - 1, GRID)
            for pair in range(32):
                place = row if pair < 16 else column
                frequency = 10000.0 ** (-2 * (pair % 16) / 32)
                angle = place / GRID * 16 * frequency
                z = complex(*head[token, 2 * pair : 2 * pair + 2]) * np.exp(1j * angle)
                out[token, 2 * pair : 2 * pair + 2] = z.real, z.imag
        return out

    hidden = []
    for index in range(DEPTH):
        b = f"blocks.{index}"
        if index in (1, 2, 3, 4, 5):
            hidden.append(x)
        h = layer_norm(x, f"{b}.norm1")
        query = h @ t[f"{b}.attn.q_proj.weight"].T + t[f"{b}.attn.q_bias"]
        key = h @ t[f"{b}.attn.k_proj.weight"].T
        value = h @ t[f"{b}.attn.v_proj.weight"].T + t[f"{b}.attn.v_bias"]
        heads = []
        for head in range(HEADS):
            part = slice(64 * head, 64 * head + 64)
            logits = turned(query[:, part]) @ turned(key[:, part]).T / 8
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, part])
        joined = layer_norm(np.concatenate(heads, axis=1), f"{b}.attn.inner_attn_ln")
        x = x + linear(joined, f"{b}.attn.proj")
        h = layer_norm(x, f"{b}.norm2")
        gate = linear(h, f"{b}.mlp.w1")
        h = gate / (1 + np.exp(-gate)) * linear(h, f"{b}.mlp.w2")
        x = x + linear(layer_norm(h, f"{b}.mlp.ffn_ln"), f"{b}.mlp.w3")
    embedding = linear(layer_norm(x, "norm")[0], "head")
    return embedding / np.sqrt((embedding**2).sum()), hidden


def as_timm(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in tensors.items():
        new = name.removeprefix("visual.")
        for part, other in (("q_bias", "q_proj.bias"), ("v_bias", "v_proj.bias"),
                            ("inner_attn_ln", "norm"), ("w1", "fc1_g"), ("w2", "fc1_x"),
                            ("w3", "fc2"), ("ffn_ln", "norm")):  # fmt: skip
            new = ".".join(other if piece == part else piece for piece in new.split("."))
        renamed[prefix + new] = value
    return renamed


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    side = GRID * PATCH_PX
    return torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(9))


def test_agrees_with_the_definition(tmp_path: Path, picture: torch.Tensor) -> None:
    torch.save(small_tower(), tmp_path / "eva.pt")
    tower = load_eva(tmp_path / "eva.pt", device=CPU, dtype=torch.float32)
    embedding, hidden = tower(picture)
    expected, expected_hidden = definition(small_tower(), picture[0].double().numpy())
    difference = np.abs(embedding[0].numpy() - expected).max()
    scale = np.abs(expected_hidden[-1]).max()
    hidden_difference = max(
        np.abs(found[0].numpy() - wanted).max()
        for found, wanted in zip(hidden, expected_hidden, strict=True)
    )
    print(f"embedding {difference:.1e}, hidden states {hidden_difference:.1e} of {scale:.1f}")
    # Some thousand float32 operations of relative error 6e-8, adding up like a random walk.
    assert difference < 5e-6
    assert hidden_difference < 5e-6 * scale


@pytest.mark.parametrize("prefix", ["", "trunk.", "visual.trunk."])
def test_timm_and_open_clip_layouts_give_the_same(
    tmp_path: Path, picture: torch.Tensor, prefix: str
) -> None:
    torch.save(small_tower(), tmp_path / "eva.pt")
    save_file(as_timm(small_tower(), prefix), tmp_path / "timm.safetensors")
    results = [
        load_eva(tmp_path / name, device=CPU, dtype=torch.float32)(picture)[0]
        for name in ("eva.pt", "timm.safetensors")
    ]
    # Not bit for bit: the files' mappings are aligned differently.
    torch.testing.assert_close(*results, rtol=0, atol=1e-6)


def test_half_precision_weights_compute_as_if_widened_first(
    tmp_path: Path, picture: torch.Tensor
) -> None:
    halves = {name: value.half() for name, value in small_tower().items()}
    torch.save(halves, tmp_path / "half.pt")
    torch.save({name: value.float() for name, value in halves.items()}, tmp_path / "wide.pt")
    half, wide = (
        load_eva(tmp_path / name, device=CPU, dtype=torch.float32)
        for name in ("half.pt", "wide.pt")
    )
    assert half.head.weight.dtype == torch.float16, "the stored weights should stay as they are"
    torch.testing.assert_close(half(picture)[0], wide(picture)[0], rtol=0, atol=1e-6)


def test_the_file_says_how_wide_a_head_is(tmp_path: Path, picture: torch.Tensor) -> None:
    tensors = small_tower()
    tensors["visual.rope.freqs_cos"] = torch.zeros(GRID**2, 32)
    torch.save(tensors, tmp_path / "eva.pt")
    tower = load_eva(tmp_path / "eva.pt", device=CPU, dtype=torch.float32)
    assert (tower.shape.head_dim, tower.shape.heads) == (32, 4)
    assert tower(picture)[0].shape == (1, OUT)


@pytest.mark.parametrize(
    ("depth", "blocks"), [(24, (4, 8, 12, 16, 20)), (12, (2, 4, 6, 8, 10)), (6, (1, 2, 3, 4, 5))]
)
def test_hidden_states_are_taken_at_sixths_of_the_depth(
    depth: int, blocks: tuple[int, ...]
) -> None:
    shape = EvaShape(64, depth, 64, 96, 14, 24, 32)
    assert shape.hidden_blocks == blocks
    assert shape.image_px == 336


def test_only_the_distance_of_two_patches_counts() -> None:
    """What rotary positions are for: the product of a query and a key at (r, c) and (r', c')
    depends on r' - r and c' - c alone. The CLS token is not turned."""
    grid = 5
    cos, sin = rope_table(grid, 64)
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn((2, 1, 1, 64), generator=generator)
    everywhere = [rotate(x.expand(1, 1 + grid**2, 64), cos, sin)[0] for x in (query, key)]
    product = everywhere[0] @ everywhere[1].T

    def at(row: int, column: int) -> int:
        return 1 + grid * row + column

    pairs = [((r, c), (r + 1, c + 2)) for r in range(4) for c in range(3)]
    values = torch.stack([product[at(*a), at(*b)] for a, b in pairs])
    assert values.std() < 1e-5
    assert (values[0] - product[at(0, 0), at(2, 1)]).abs() > 1e-2
    assert torch.equal(everywhere[0][0], query[0, 0])


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    torch.save(small_tower(), tmp_path / "eva.pt")
    tower = load_eva(tmp_path / "eva.pt", device=CPU, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"expected \(n, 3, 12, 12\)"):
        tower(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("visual.blocks.3.mlp.w2.weight", None, r"1 of its .* missing: blocks\.3\.mlp\.fc1_x"),
        ("visual.head.bias", torch.zeros(7), r"head\.bias .*expected shape \[24\], found \[7\]"),
        ("visual.norm.bias", torch.zeros(WIDTH, dtype=torch.int32), "found i32"),
        ("visual.pos_embed", torch.zeros(1, 9, WIDTH), "square of patches and a CLS token"),
        ("visual.rope.freqs_cos", torch.zeros(9, 48), "multiple of its head width"),
        ("visual.blocks.5.norm1.weight", None, "more than 5 blocks, found 5"),
        ("visual.patch_embed.proj.weight", None, r"patch_embed\.proj\.weight is missing"),
    ],
)
def test_a_file_that_is_not_the_tower_is_refused(
    tmp_path: Path, name: str, value: torch.Tensor | None, message: str
) -> None:
    tensors = small_tower()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    torch.save(tensors, tmp_path / "eva.pt")
    with pytest.raises(ModelFileError, match=message) as raised:
        load_eva(tmp_path / "eva.pt", device=CPU, dtype=torch.float32)
    assert str(tmp_path / "eva.pt") in str(raised.value)


def test_the_stand_in_has_the_published_names() -> None:
    names = [name for name in eva_tensors() if name.startswith("visual.")]
    # 512 tensors of 24 blocks: 21 per block and 8 others.
    assert len(names) == 21 * 6 + 8
    assert set(names) - set(small_tower()) == set()
