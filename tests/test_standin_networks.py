"""The stand-in autoencoders and text encoder do something that can be seen."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from definition import autoencoder_kl, clip_l, taef1
from definition.tensor_files import dequantized, read_gguf, read_safetensors, row_major_shape
from standin import make_standin_weights
from standin.random_values import normal


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("standin")
    return make_standin_weights(folder, depth=1, depth_single=1, hidden=128, quantizations=())


def test_tiny_autoencoder_has_the_layers_of_taef1(files: dict[str, Path]) -> None:
    weights = read_safetensors(files["taesd"])
    # In each half ten blocks of three convolutions, first and last one, three without bias.
    assert len(weights) == 2 * (10 * 6 + 2 * 2 + 3)
    assert weights["decoder.layers.0.weight"].shape == (64, 16, 3, 3)
    assert weights["decoder.layers.18.weight"].shape == (3, 64, 3, 3)
    assert weights["encoder.layers.0.weight"].shape == (64, 3, 3, 3)
    assert weights["encoder.layers.14.weight"].shape == (16, 64, 3, 3)
    assert files["taesd"].stat().st_size < 6e6


def test_tiny_autoencoder_paints_a_visible_picture(files: dict[str, Path]) -> None:
    latent = torch.from_numpy(normal(9, "latent", (16, 16, 24)))
    picture = taef1.decode(read_safetensors(files["taesd"]), latent)
    assert picture.shape == (3, 128, 192)
    assert 0.05 < picture.std() < 0.3
    assert 0.4 < picture.mean() < 0.6
    assert ((picture < 0) | (picture > 1)).float().mean() < 0.02


def test_tiny_autoencoder_gives_a_smooth_picture_back(files: dict[str, Path]) -> None:
    weights = read_safetensors(files["taesd"])
    picture = torch.full((3, 64, 64), 0.5)
    picture[0] = torch.linspace(0.3, 0.7, 64)
    picture[1] = torch.linspace(0.3, 0.7, 64)[:, None]
    back = taef1.decode(weights, taef1.encode(weights, picture))
    # Away from the border, where the smoothing meets padding.
    error = (back - picture)[:, 16:-16, 16:-16].abs().max()
    assert error < 0.03, error


def test_autoencoder_paints_a_visible_picture(files: dict[str, Path]) -> None:
    weights = read_safetensors(files["vae"])
    assert not [name for name in weights if not name.startswith("decoder.")]
    latent = torch.from_numpy(normal(9, "latent", (16, 16, 24)))
    picture = autoencoder_kl.decode(weights, latent)
    assert picture.shape == (3, 128, 192)
    assert 0.2 < picture.std() < 0.7
    assert abs(picture.mean()) < 0.1
    assert (picture.abs() > 1).float().mean() < 0.05


def test_clip_l_has_the_real_names_and_shapes(files: dict[str, Path]) -> None:
    tensors = read_gguf(files["clip_l"])
    assert len(tensors) == 2 + 12 * 16 + 2
    shapes = {name: row_major_shape(tensor) for name, tensor in tensors.items()}
    assert shapes["text_model.embeddings.token_embedding.weight"] == (49408, 768)
    assert shapes["text_model.embeddings.position_embedding.weight"] == (77, 768)
    assert shapes["text_model.final_layer_norm.weight"] == (768,)
    for layer in range(12):
        prefix = f"text_model.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            assert shapes[f"{prefix}.self_attn.{part}.weight"] == (768, 768)
        assert shapes[f"{prefix}.mlp.fc1.weight"] == (3072, 768)
        assert shapes[f"{prefix}.mlp.fc2.weight"] == (768, 3072)
        assert shapes[f"{prefix}.layer_norm1.weight"] == (768,)
        assert shapes[f"{prefix}.layer_norm2.bias"] == (768,)
    assert not dequantized(tensors["text_model.encoder.layers.7.mlp.fc1.weight"]).any()
    assert files["clip_l"].stat().st_size < 51e6


def test_clip_l_tells_prompts_apart(files: dict[str, Path]) -> None:
    tensors = read_gguf(files["clip_l"])
    prompts = {
        "three words": [320, 1125, 539],
        "one word other": [320, 1125, 540],
        "other order": [1125, 320, 539],
        "one word more": [320, 1125, 539, 2368],
        "nothing": [],
    }
    vectors = {name: clip_l.pooled(tensors, ids, layers=1) for name, ids in prompts.items()}
    for a, b in itertools.combinations(vectors, 2):
        difference = (vectors[a] - vectors[b]).square().mean().sqrt()
        print(f"{a} / {b}: {difference:.2f}")
        assert difference > 0.1
