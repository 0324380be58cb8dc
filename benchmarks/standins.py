"""The stand-in weights of the tests; a benchmark runs as a script, without `tests/` on its path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from standin import FluxShape, UnetShape, make_sdxl_standin_weights, make_standin_weights
from standin.extractor.detector import detector_model
from standin.flux import flux_tensors
from standin.pulid import ID_DIM, pulid_tensors
from standin.random_values import normal, random_bytes
from standin.unet import unet_tensors
from standin.unet_pulid_file import write_few_unet_layers

__all__ = [
    "ID_DIM",
    "FluxShape",
    "UnetShape",
    "detector_model",
    "flux_tensors",
    "make_sdxl_standin_weights",
    "make_standin_weights",
    "normal",
    "pulid_tensors",
    "random_bytes",
    "unet_tensors",
    "write_few_unet_layers",
]
