"""PuLID v1's encoder for SDXL at the published size, random weights, against plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pulid_extractor.mlp_encoder import mlp_encoder_of
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor
from standin.sdxl_pulid import mlp_encoder_tensors

Float = NDArray[np.float64]
VIT_TOKENS, WIDTH = 577, 1024
SIZES = {"id_dim": 2048, "hidden": WIDTH, "vit_dim": WIDTH, "clip_dim": 768}


def network(weights: dict[str, NDArray[np.float32]], name: str, h: Float) -> Float:
    """(tokens, in) -> (tokens, out), in float64."""

    def of(part: str) -> Float:
        return weights[f"id_adapter.{name}.{part}"].astype(np.float64)

    for layer in (0, 3):
        h = h @ of(f"{layer}.weight").T + of(f"{layer}.bias")
        centred = h - h.mean(axis=1, keepdims=True)
        h = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        h = h * of(f"{layer + 1}.weight") + of(f"{layer + 1}.bias")
        h = np.where(h > 0, h, 0.01 * h)
    return h @ of("6.weight").T + of("6.bias")


def test_the_published_size() -> None:
    weights = mlp_encoder_tensors(3, **SIZES)
    tensors = {
        name.removeprefix("id_adapter."): StoredTensor("f32", value)
        for name, value in weights.items()
    }
    encoder = mlp_encoder_of(tensors, Path("v1"), device=torch.device("cpu"), dtype=torch.float32)
    rng = np.random.default_rng(0)
    embedding = rng.normal(0, 1, (1, 1280))
    hidden = [rng.normal(0, 1, (VIT_TOKENS, WIDTH)) for _ in range(5)]
    found = encoder(
        torch.from_numpy(embedding).float(),
        [torch.from_numpy(state)[None].float() for state in hidden],
    )[0].numpy()
    expected = [network(weights, "body", embedding).reshape(5, 2048)]
    for scale, state in enumerate(hidden):
        cls = network(weights, f"mapping_{scale}", state[:1])
        patches = network(weights, f"mapping_patch_{scale}", state[1:])
        expected.append(cls + patches.mean(axis=0))
    tokens = np.concatenate(expected)
    assert found.shape == tokens.shape == (10, 2048)
    difference = np.abs(found - tokens).max() / np.abs(tokens).max()
    print(f"relative difference {difference:.1e}")
    # Three layers of float32 with sums over 1280 numbers, and a mean of 576.
    assert difference < 5e-6
