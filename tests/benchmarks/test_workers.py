"""The processes that measure, with our engine and small models."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from generation import generation
from pulid_sdcpp.families.flux.pulid_weights import positions
from real_width_models import flux_model, identity_files, pulid_weights
from side_by_side import run_in_turn, run_worker
from standin import FluxShape

NARROW = FluxShape(1, 1, 256)
HEADS, ID_TOKENS = 2, 32
SIZE_PX = 64

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def load(
    tmp_path_factory: pytest.TempPathFactory, standin_weights: dict[str, Path]
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "diffusion_model_path": str(flux_model(folder, NARROW, "q4_0")),
        "clip_l_path": str(standin_weights["clip_l"]),
        "taesd_path": str(standin_weights["taesd"]),
        "vae_decode_only": True,
        "n_threads": 2,
    }


def test_a_generation_is_measured_from_loading_to_the_picture(load: dict[str, Any]) -> None:
    ours = {"ours": Path(sys.executable)}
    pair = run_in_turn(ours, load, generation(SIZE_PX, 2), repeats=2)
    assert len(pair.runs["ours"]) == 2
    for run in pair.runs["ours"]:
        assert len(run.step_s) == len(run.step_cpu_s) == 2
        assert min(run.load_s, run.encode_s, *run.step_s, run.decode_s) > 0
        assert run.peak_mb >= run.steady_mb


def test_what_an_identity_costs_is_measured(load: dict[str, Any], tmp_path: Path) -> None:
    models = Path(load["diffusion_model_path"]).parent
    task = {
        "load": {**load, "pulid_weights": str(pulid_weights(models, NARROW, HEADS))},
        "identities": [str(path) for path in identity_files(models)],
        "sizes_px": [SIZE_PX],
        "pairs": 2,
        "switches_only": False,
    }
    environment = {**os.environ, "PULID_SDCPP_CACHE": str(tmp_path)}
    found = run_worker(Path(sys.executable), "identity_worker.py", task, environment)
    times = found["extra"][str(SIZE_PX)]
    assert {name: len(values) for name, values in times.items()} == {
        "plain_s": 2, "plain_cpu_s": 2, "with_s": 2, "with_cpu_s": 2,
    }  # fmt: skip
    assert set(found["switches_s"]) == {"first", "other", "back", "same"}
    assert min(found["switches_s"].values()) > 0
    # Per layer A and B in F16 and a bias in F32.
    rows = HEADS * ID_TOKENS
    kept = found["params_f16_bytes"] - found["params_plain_bytes"]
    layers = len(positions(NARROW.depth, NARROW.depth_single))
    assert kept == pytest.approx(layers * (2 * rows * NARROW.hidden * 2 + rows * 4), abs=4096)
