"""The extractor's stand-in models folder and the photos that test dependencies install."""

from __future__ import annotations

from pathlib import Path

import insightface
import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pulid_extractor import IdentityExtractor
from standin.extractor.networks import idformer_tensors, make_extractor_standins

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extractor-models")
    make_extractor_standins(folder)
    save_file(idformer_tensors(), folder / "pulid_flux_v0.9.1.safetensors")
    return folder


@pytest.fixture(scope="session")
def extractor(models_dir: Path) -> IdentityExtractor:
    return IdentityExtractor(models_dir, device="cpu")


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """One face, (512, 512, 3)."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def t1_path() -> Path:
    """Six faces, 1280 x 886."""
    return Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
