"""PuLID v1's encoder for SDXL against its definition, written token by token in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pulid_extractor.encoder import FaceEncoder
from pulid_extractor.mlp_encoder import MlpEncoder
from pulid_extractor.mlp_encoder_shape import MlpEncoderShape
from pulid_extractor.torch_networks import load_torch_encoder
from pulid_sdcpp.errors import ModelFileError
from standin.sdxl_pulid import mlp_encoder_tensors

Float = NDArray[np.float64]
CPU = torch.device("cpu")
SIZES = {"id_dim": 24, "hidden": 40, "vit_dim": 20, "clip_dim": 8}
EMBEDDING, VIT_TOKENS = 520, 11


def tensors() -> dict[str, NDArray[np.float32]]:
    return mlp_encoder_tensors(**SIZES)


def load(folder: Path, weights: dict[str, NDArray[np.float32]]) -> FaceEncoder:
    save_file(weights, folder / "pulid_v1.safetensors")
    return FaceEncoder(
        *load_torch_encoder(folder / "pulid_v1.safetensors", device=CPU, dtype=torch.float32)
    )


def definition(weights: dict[str, NDArray[np.float32]], x: Float, y: list[Float]) -> Float:
    """One photo: x (embedding,), y five times (tokens, vit width) -> (n_id_tokens + 5, id_dim)."""
    t = {name.removeprefix("id_adapter."): v.astype(np.float64) for name, v in weights.items()}

    def network(h: Float, name: str) -> Float:
        for layer in (0, 3):
            h = t[f"{name}.{layer}.weight"] @ h + t[f"{name}.{layer}.bias"]
            h = (h - h.mean()) / np.sqrt(((h - h.mean()) ** 2).mean() + 1e-5)
            h = h * t[f"{name}.{layer + 1}.weight"] + t[f"{name}.{layer + 1}.bias"]
            h = np.where(h > 0, h, 0.01 * h)
        return t[f"{name}.6.weight"] @ h + t[f"{name}.6.bias"]

    tokens = list(network(x, "body").reshape(-1, SIZES["id_dim"]))
    for scale in range(5):
        cls, *patches = y[scale]
        of_patches = [network(patch, f"mapping_patch_{scale}") for patch in patches]
        tokens.append(network(cls, f"mapping_{scale}") + sum(of_patches) / len(patches))
    return np.stack(tokens)


def test_agrees_with_the_definition(tmp_path: Path) -> None:
    network = load(tmp_path, tensors()).network.network  # type: ignore[attr-defined]
    assert isinstance(network, MlpEncoder)
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (2, EMBEDDING))
    y = [rng.normal(0, 1, (2, VIT_TOKENS, SIZES["vit_dim"])) for _ in range(5)]
    found = network(torch.from_numpy(x).float(), [torch.from_numpy(part).float() for part in y])
    expected = np.stack([definition(tensors(), x[i], [part[i] for part in y]) for i in range(2)])
    assert found.shape == (2, 10, SIZES["id_dim"])
    difference = np.abs(found.numpy() - expected).max() / np.abs(expected).max()
    print(f"relative difference {difference:.1e}")
    # Three layers of float32, with sums over 520 numbers at most.
    assert difference < 3e-6


def test_sizes_come_from_the_weights(tmp_path: Path) -> None:
    shape = load(tmp_path, tensors()).network.shape
    assert (shape.id_dim, shape.embedding_dim, shape.vit_dim) == (24, EMBEDDING, 20)
    assert (shape.n_id_tokens, shape.id_hidden, shape.vit_hidden) == (5, 40, 40)  # type: ignore[union-attr]
    assert shape.n_tokens == 10  # type: ignore[union-attr]


def test_wrong_number_of_hidden_states_is_refused(tmp_path: Path) -> None:
    network = load(tmp_path, tensors()).network
    embedding, state = (np.zeros((n, width), np.float32) for n, width in ((1, EMBEDDING), (2, 20)))
    with pytest.raises(ValueError, match="4 hidden states: expected 5"):
        network.tokens(embedding, [state] * 4)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mapping_0.6.weight", None, r"mapping_0\.6\.weight is missing"),
        ("mapping_patch_4.3.bias", None, r"missing: mapping_patch_4\.3\.bias"),
        ("mapping_4.6.bias", np.zeros(3, np.float32), r"expected shape \[24\], found \[3\]"),
        ("body.6.weight", np.ones((119, 40), np.float32), r"whole tokens of 24 .* found 119 rows"),
        ("body.6.weight", np.ones((0, 40), np.float32), "found 0 rows"),
        ("mapping_0.6.weight", np.ones((0, 40), np.float32), "whole tokens of 0"),
        ("body.3.weight", np.zeros((40, 40), np.float32), "1 of the .* matrices .* are zeros"),
    ],
)
def test_a_file_that_is_not_the_encoder_is_refused(
    tmp_path: Path, name: str, value: NDArray[np.float32] | None, message: str
) -> None:
    weights = tensors()
    if value is None:
        del weights[f"id_adapter.{name}"]
    else:
        weights[f"id_adapter.{name}"] = value
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path, weights)


def test_the_published_sizes_give_the_published_tensors() -> None:
    with torch.device("meta"):
        network = MlpEncoder(
            MlpEncoderShape(
                id_dim=2048, n_id_tokens=5, embedding_dim=1280, id_hidden=1024, vit_dim=1024,
                vit_hidden=1024,
            )
        )  # fmt: skip
    tensors = network.state_dict()
    assert len(tensors) == 110
    assert sum(tensor.numel() for tensor in tensors.values()) == 54_886_400
    assert tensors["body.0.weight"].shape == (1024, 1280)
    assert tensors["body.6.weight"].shape == (10240, 1024)
    assert tensors["mapping_patch_4.6.weight"].shape == (2048, 1024)
