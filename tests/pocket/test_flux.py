"""The network that is trained is the one the engine runs: both against the definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from definition.flux_pulid import FluxPulid
from pocket.export import write_flux, write_pulid
from pocket.flux import T5_TOKENS, TEXT_DIM, Flux, FluxConfig, patchify, unpatchify

CONFIG = FluxConfig(hidden=128, depth=2, depth_single=5, grid=4, id_dim=64, id_heads=2)
TOLERANCE = 2e-3
"""Of values about one: weights are rounded to float16 and bfloat16 in the files."""


@pytest.fixture(scope="module")
def flux() -> Flux:
    torch.manual_seed(0)
    model = Flux(CONFIG).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.3 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
            parameter.copy_((name.endswith(("scale", "norm1.weight", "norm2.weight"))) * 1.0)
            parameter.add_(spread * torch.randn_like(parameter))
            # As they come out of the files.
            stored = torch.bfloat16 if "pulid_ca" in name else torch.float16
            if parameter.ndim > 1 or "pulid_ca" in name:
                parameter.copy_(parameter.to(stored).float())
    return model


@pytest.fixture(scope="module")
def files(flux: Flux, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("flux")
    paths = folder / "flux1-schnell.gguf", folder / "pulid.safetensors"
    write_flux(paths[0], flux, "f16")
    write_pulid(paths[1], flux, {})
    return paths


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    side = 2 * CONFIG.grid
    return (
        torch.randn(1, 16, side, side, generator=generator),
        torch.randn(1, 768, generator=generator),
        torch.randn(1, 5, CONFIG.id_dim, generator=generator),
    )


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_it_computes_what_the_definition_says(
    flux: Flux, files: tuple[Path, Path], weight: float
) -> None:
    x, prompt, identity = inputs()
    with torch.no_grad():
        velocity = unpatchify(flux(patchify(x), torch.tensor([0.6]), prompt, identity, weight))
    expected = FluxPulid(*files).velocity(
        x[0].numpy(),
        0.6,
        np.zeros((T5_TOKENS, TEXT_DIM), np.float32),
        prompt[0].numpy(),
        identities=[(identity[0].numpy(), weight)],
    )
    difference = np.abs(velocity[0].numpy() - expected).max()
    assert difference < TOLERANCE, f"largest difference {difference:.2e}"


def test_patches_come_back() -> None:
    x, _, _ = inputs()
    assert torch.equal(unpatchify(patchify(x)), x)
