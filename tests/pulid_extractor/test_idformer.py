"""The IDFormer against its definition, written head by head in float64."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pulid_extractor.idformer import IdFormer
from pulid_extractor.idformer_shape import IdFormerShape
from pulid_extractor.torch_networks import load_torch_encoder
from pulid_sdcpp.errors import ModelFileError
from standin.extractor.networks import idformer_tensors

Float = NDArray[np.float64]
CPU = torch.device("cpu")
SIZES = {"id_dim": 40, "n_tokens": 6, "dim": 128, "vit_dim": 20, "clip_dim": 8, "n_id_tokens": 3}
EMBEDDING, VIT_TOKENS = 520, 11


def tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """As the stand-in's, with norms that do something."""
    rng = np.random.default_rng(seed)
    made = idformer_tensors(seed, **SIZES)
    return {
        name: value + rng.normal(0, 0.1, value.shape).astype(np.float32) if value.ndim == 1
        else value
        for name, value in made.items()
    }  # fmt: skip


def load_idformer(path: Path) -> IdFormer:
    network = load_torch_encoder(path, device=CPU, dtype=torch.float32)[1].network
    assert isinstance(network, IdFormer)
    return network


def definition(weights: dict[str, NDArray[np.float32]], x: Float, y: list[Float]) -> Float:
    """One person: x (photos, embedding), y five times (tokens, vit width) -> (tokens, id_dim)."""
    t = {name.removeprefix("pulid_encoder."): v.astype(np.float64) for name, v in weights.items()}
    erf = np.vectorize(math.erf)

    def norm(h: Float, name: str) -> Float:
        centred = h - h.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return centred / deviation * t[f"{name}.weight"] + t[f"{name}.bias"]

    def mapping(h: Float, name: str) -> Float:
        for layer in (0, 3):
            h = h @ t[f"{name}.{layer}.weight"].T + t[f"{name}.{layer}.bias"]
            h = norm(h, f"{name}.{layer + 1}")
            h = np.where(h > 0, h, 0.01 * h)
        return h @ t[f"{name}.6.weight"].T + t[f"{name}.6.bias"]

    dim = t["latents"].shape[2]
    identity = mapping(x, "id_embedding_mapping").reshape(-1, dim)
    latents = np.concatenate([t["latents"][0], identity])
    for layer in range(10):
        scale = layer // 2
        context = np.concatenate([identity, mapping(y[scale], f"mapping_{scale}")])
        a = f"layers.{layer}.0"
        own = norm(latents, f"{a}.norm2")
        seen = np.concatenate([norm(context, f"{a}.norm1"), own])
        query = own @ t[f"{a}.to_q.weight"].T
        both = seen @ t[f"{a}.to_kv.weight"].T
        inner = query.shape[1]
        key, value = both[:, :inner], both[:, inner:]
        heads = []
        for start in range(0, inner, 64):
            part = slice(start, start + 64)
            logits = query[:, part] @ key[:, part].T / math.sqrt(64)
            weight = np.exp(logits - logits.max(axis=1, keepdims=True))
            heads.append(weight / weight.sum(axis=1, keepdims=True) @ value[:, part])
        latents = latents + np.concatenate(heads, axis=1) @ t[f"{a}.to_out.weight"].T
        f = f"layers.{layer}.1"
        h = norm(latents, f"{f}.0") @ t[f"{f}.1.weight"].T
        h = h * 0.5 * (1 + erf(h / math.sqrt(2)))
        latents = latents + h @ t[f"{f}.3.weight"].T
    return latents[: t["latents"].shape[1]] @ t["proj_out"]


@pytest.mark.parametrize("photos", [1, 3])
def test_agrees_with_the_definition(tmp_path: Path, photos: int) -> None:
    save_file(tensors(), tmp_path / "pulid.safetensors")
    network = load_idformer(tmp_path / "pulid.safetensors")
    rng = np.random.default_rng(photos)
    x = rng.normal(0, 1, (photos, EMBEDDING))
    y = [rng.normal(0, 1, (photos * VIT_TOKENS, SIZES["vit_dim"])) for _ in range(5)]
    expected = definition(tensors(), x, y)
    found = network(
        torch.from_numpy(x).float()[None], [torch.from_numpy(part).float()[None] for part in y]
    )
    assert found.shape == (1, SIZES["n_tokens"], SIZES["id_dim"])
    difference = np.abs(found[0].numpy() - expected).max() / np.abs(expected).max()
    print(f"{photos} photos: relative difference {difference:.1e}")
    # Ten layers of float32 with sharp attention; the reference's own spread is 1e-6.
    assert difference < 1e-5


def test_unconditional_is_the_network_on_zeros(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "pulid.safetensors")
    network = load_idformer(tmp_path / "pulid.safetensors")
    zeros = [np.zeros((VIT_TOKENS, SIZES["vit_dim"]))] * 5
    expected = definition(tensors(), np.zeros((1, EMBEDDING)), zeros)
    found = network.unconditional(torch.float32, VIT_TOKENS)[0].numpy()
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_sizes_come_from_the_weights(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "pulid.safetensors")
    shape = load_idformer(tmp_path / "pulid.safetensors").shape
    assert (shape.n_queries, shape.id_dim, shape.dim, shape.inner) == (6, 40, 128, 128)
    assert (shape.n_id_tokens, shape.embedding_dim, shape.vit_dim) == (3, EMBEDDING, 20)


def test_wrong_number_of_hidden_states_is_refused(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "pulid.safetensors")
    network = load_idformer(tmp_path / "pulid.safetensors")
    with pytest.raises(ValueError, match="4 hidden states: expected 5"):
        network(torch.zeros(1, 1, EMBEDDING), [torch.zeros(1, 1, SIZES["vit_dim"])] * 4)


def test_the_cross_attention_in_the_same_file_is_left_alone(tmp_path: Path) -> None:
    other = {"pulid_ca.0.to_q.weight": np.zeros((4, 4), np.float32)}
    save_file(tensors() | other, tmp_path / "pulid.safetensors")
    network = load_idformer(tmp_path / "pulid.safetensors")
    assert not any(name.startswith("pulid_ca") for name in network.state_dict())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("latents", None, "its tensor latents is missing"),
        ("layers.9.1.3.weight", None, r"missing: layers\.9\.1\.3\.weight"),
        ("layers.9.0.to_q.weight", None, "multiple of 5 layers, found 9"),
        ("layers.0.0.to_q.weight", np.zeros((96, 128), np.float32), "heads of 64, found .* 96"),
        ("mapping_4.6.bias", np.zeros(3, np.float32), r"expected shape \[128\], found \[3\]"),
    ],
)
def test_a_file_that_is_not_the_idformer_is_refused(
    tmp_path: Path, name: str, value: NDArray[np.float32] | None, message: str
) -> None:
    weights = tensors()
    if value is None:
        del weights[f"pulid_encoder.{name}"]
    else:
        weights[f"pulid_encoder.{name}"] = value
    save_file(weights, tmp_path / "pulid.safetensors")
    with pytest.raises(ModelFileError, match=message):
        load_idformer(tmp_path / "pulid.safetensors")


def test_the_stand_in_has_the_published_names_and_ratio_of_shapes() -> None:
    made = idformer_tensors()
    assert len(made) == 172
    assert made["pulid_encoder.proj_out"].shape == (128, 2048)
    assert made["pulid_encoder.latents"].shape == (1, 32, 128)
    assert made["pulid_encoder.layers.9.0.to_kv.weight"].shape == (256, 128)
    assert made["pulid_encoder.id_embedding_mapping.6.bias"].shape == (5 * 128,)


def test_the_published_sizes_give_the_published_tensors() -> None:
    with torch.device("meta"):
        network = IdFormer(
            IdFormerShape(
                dim=1024, inner=1024, ff_dim=4096, n_layers=10, n_queries=32, id_dim=2048,
                n_id_tokens=5, embedding_dim=1280, id_hidden=1024, vit_dim=1024, vit_hidden=1024,
            )
        )  # fmt: skip
    tensors = network.state_dict()
    assert len(tensors) == 172
    assert sum(tensor.numel() for tensor in tensors.values()) == 151_398_400
