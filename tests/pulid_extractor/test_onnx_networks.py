"""The networks in ONNX Runtime against those in PyTorch, in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pulid_extractor.encoder_tensors import read_encoder_tensors
from pulid_extractor.eva_vision import load_eva
from pulid_extractor.idformer import idformer_of
from pulid_extractor.mlp_encoder import mlp_encoder_of
from pulid_extractor.onnx_networks.eva import load_onnx_eva
from pulid_extractor.onnx_networks.idformer import OnnxIdFormer
from pulid_extractor.onnx_networks.mlp_encoder import OnnxMlpEncoder
from pulid_extractor.onnx_networks.parsing import load_onnx_parser
from pulid_extractor.parsing import load_parsing
from pulid_sdcpp.pocket.pack import pocket_files
from standin.extractor.networks import idformer_tensors
from standin.sdxl_pulid import mlp_encoder_tensors

CPU = torch.device("cpu")
PROVIDERS = ("CPUExecutionProvider",)
LARGEST_DIFFERENCE = 2e-3
"""In shares of the largest number."""
LEAST_COSINE = 0.9999

Array = NDArray[np.float32]


def assert_near(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    a, b = found.ravel().astype(float), expected.ravel().astype(float)
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    print(f"largest difference {difference:.1e}, cosine 1 - {1 - cosine:.1e}")
    assert difference <= LARGEST_DIFFERENCE
    assert cosine >= LEAST_COSINE


def models(which: str, models_dir: Path) -> Path:
    return models_dir if which == "stand-in" else pocket_files().diffusion_model.parent


def eva_file(folder: Path) -> Path:
    return next(iter(folder.glob("EVA02*")))


WHICH = pytest.mark.parametrize("which", ["stand-in", "pocket"])


@WHICH
def test_the_parser(which: str, models_dir: Path) -> None:
    path = next(iter(models(which, models_dir).glob("parsing_bisenet*")))
    picture = np.random.default_rng(0).normal(0, 1, (3, 512, 512)).astype(np.float32)
    expected = load_parsing(path, device=CPU)(torch.from_numpy(picture)[None])[0].numpy()
    parser = load_onnx_parser(path)
    assert_near(parser.scores(picture), expected)
    same = parser.labels(picture) == expected.argmax(axis=0)
    assert same.mean() > 0.9999


@WHICH
def test_the_vision_tower(which: str, models_dir: Path) -> None:
    path = eva_file(models(which, models_dir))
    tower, onnx_tower = load_eva(path, device=CPU, dtype=torch.float32), load_onnx_eva(path)
    side = tower.shape.image_px
    picture = np.random.default_rng(0).normal(0, 1, (3, side, side)).astype(np.float32)
    expected, hidden = tower(torch.from_numpy(picture)[None])
    found, onnx_hidden = onnx_tower.look(picture)
    assert_near(found, expected[0].numpy())
    assert len(onnx_hidden) == len(hidden) == 5
    for one, other in zip(onnx_hidden, hidden, strict=True):
        assert_near(one, other[0].numpy())


def as_bfloat16(tensors: dict[str, Array]) -> dict[str, Array]:
    return {name: torch.from_numpy(value).bfloat16() for name, value in tensors.items()}  # type: ignore[misc]


@pytest.mark.parametrize("which", ["stand-in", "stand-in in bf16", "pocket"])
@pytest.mark.parametrize("n_photos", [1, 3])
def test_the_idformer(which: str, n_photos: int, models_dir: Path, tmp_path: Path) -> None:
    if which == "stand-in in bf16":
        from safetensors.torch import save_file as save_torch_file

        save_torch_file(as_bfloat16(idformer_tensors()), tmp_path / "x.safetensors")
        path = tmp_path / "x.safetensors"
    else:
        path = models(which, models_dir) / "pulid_flux_v0.9.1.safetensors"
    read = read_encoder_tensors(path)
    network = idformer_of(read.tensors, read.file, device=CPU, dtype=torch.float32)
    onnx_network = OnnxIdFormer(read.tensors, read.file, PROVIDERS)
    shape, random = network.shape, np.random.default_rng(n_photos)
    embeddings = random.normal(0, 1, (n_photos, shape.embedding_dim)).astype(np.float32)
    hidden = [
        random.normal(0, 1, (n_photos * 17, shape.vit_dim)).astype(np.float32) for _ in range(5)
    ]
    expected = network(
        torch.from_numpy(embeddings)[None], [torch.from_numpy(state)[None] for state in hidden]
    )
    assert_near(onnx_network.tokens(embeddings, hidden), expected[0].numpy())
    with pytest.raises(ValueError, match="4 hidden states: expected 5"):
        onnx_network.tokens(embeddings, hidden[:4])


def test_v1_s_encoder(tmp_path: Path) -> None:
    save_file(mlp_encoder_tensors(3), tmp_path / "x.safetensors")
    read = read_encoder_tensors(tmp_path / "x.safetensors")
    network = mlp_encoder_of(read.tensors, read.file, device=CPU, dtype=torch.float32)
    onnx_network = OnnxMlpEncoder(read.tensors, read.file, PROVIDERS)
    shape, random = network.shape, np.random.default_rng(0)
    embedding = random.normal(0, 1, (1, shape.embedding_dim)).astype(np.float32)
    hidden = [random.normal(0, 1, (17, shape.vit_dim)).astype(np.float32) for _ in range(5)]
    expected = network(
        torch.from_numpy(embedding), [torch.from_numpy(state)[None] for state in hidden]
    )
    assert_near(onnx_network.tokens(embedding, hidden), expected[0].numpy())
    with pytest.raises(ValueError, match="4 hidden states: expected 5"):
        onnx_network.tokens(embedding, hidden[:4])
