"""The autoencoder's file against the published layout, and the latents it stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from definition.taef1 import decode, encode
from definition.tensor_files import read_safetensors
from pocket.autoencoder import Decoder
from pocket.dataset import draw_pictures
from pocket.export import write_autoencoder
from pocket.patches import PatchPca, fit_patch_pca


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return draw_pictures(9_000_900, 4, 2)[0].reshape(8, 128, 128, 3)


@pytest.fixture(scope="module")
def pca(pictures: np.ndarray) -> PatchPca:
    return fit_patch_pca(pictures)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    torch.manual_seed(0)
    decoder = Decoder(width=24).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return decoder


@pytest.fixture(scope="module")
def weights(
    pca: PatchPca, decoder: Decoder, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    file: Path = tmp_path_factory.mktemp("autoencoder") / "taef1.safetensors"
    write_autoencoder(file, pca, decoder)
    return read_safetensors(file)


def test_the_encoder_is_the_patch_pca(
    pca: PatchPca, pictures: np.ndarray, weights: dict[str, torch.Tensor]
) -> None:
    picture = torch.from_numpy(pictures[:1]).float() / 255
    latent = encode(weights, picture[0].permute(2, 0, 1))
    difference = float((latent - pca.encode(picture)[0]).abs().max())
    # The matrix is stored in float16, and 192 products are added.
    assert difference < 1e-2, f"largest difference {difference:.2e}"


def test_the_decoder_padded_with_zeros_is_the_trained_one(
    decoder: Decoder, weights: dict[str, torch.Tensor]
) -> None:
    latent = torch.randn(16, 4, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        made = decoder(latent[None])[0]
    difference = float((decode(weights, latent) - made).abs().max())
    assert difference < 1e-2, f"largest difference {difference:.2e}"


def test_latents_stay_where_the_decoder_can_tell_them_apart(
    pca: PatchPca, pictures: np.ndarray
) -> None:
    latents = pca.encode(torch.from_numpy(pictures).float() / 255)
    # 3 tanh(x / 3) is nearly flat beyond 6.
    assert float((latents.abs() < 6).float().mean()) > 0.999
    assert float(latents.std()) == pytest.approx(0.65, abs=0.01)
