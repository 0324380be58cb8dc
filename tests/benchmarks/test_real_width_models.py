from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import Identity, StableDiffusion
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.model_files.description import describe_file, flux_info
from pulid_sdcpp.tensors.file_kinds import classify
from pulid_sdcpp.tensors.random_blocks import random_matrix
from pulid_sdcpp.tensors.tensor_encoding import stored_bytes
from pulid_sdcpp.tensors.tensor_header import TensorHeader, TensorInfo
from real_width_models import (
    FULL_SHAPE,
    SHORT_SHAPE,
    flux_model,
    identity_files,
    pulid_weights,
    t5_tensors,
)
from standin import FluxShape
from standin.flux import flux_tensors

NARROW = FluxShape(1, 1, 256)
HEADS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def test_the_block_matrices_have_the_type_and_the_rest_not(folder: Path) -> None:
    info = describe_file(flux_model(folder, NARROW, "q4_k"))
    assert info.kind == "flux"
    types = {tensor.name: tensor.dtype for tensor in info.tensors}
    assert types["double_blocks.0.img_attn.qkv.weight"] == "q4_k"
    assert types["img_in.weight"] == "f16"
    assert types["single_blocks.0.linear1.bias"] == "f32"


def test_a_file_that_is_there_is_kept(folder: Path) -> None:
    path = flux_model(folder, NARROW, "q4_0")
    written = path.stat().st_mtime_ns
    assert flux_model(folder, NARROW, "q4_0") == path
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(("shape", "double", "single"), [(SHORT_SHAPE, 2, 4), (FULL_SHAPE, 19, 38)])
def test_layers_are_as_wide_as_the_real_ones(shape: FluxShape, double: int, single: int) -> None:
    # Shapes of black-forest-labs/FLUX.1-schnell, flux1-schnell.safetensors.
    sizes = {spec.name: spec.shape for spec in flux_tensors(shape, 0, "q4_0", None)}
    assert sizes[f"double_blocks.{double - 1}.img_attn.qkv.weight"] == (9216, 3072)
    assert sizes[f"double_blocks.{double - 1}.txt_mlp.0.weight"] == (12288, 3072)
    assert sizes[f"single_blocks.{single - 1}.linear2.weight"] == (3072, 15360)
    assert sizes["txt_in.weight"] == (3072, 4096)
    assert f"single_blocks.{single}.linear2.weight" not in sizes


def test_t5_is_whole_and_recognised() -> None:
    specs = list(t5_tensors("q8_0"))
    # Parameters of the encoder of google/t5-v1_1-xxl.
    assert sum(math.prod(spec.shape) for spec in specs) == 4_762_310_656
    tensors = {
        spec.name: TensorInfo(spec.name, spec.shape, spec.dtype, 0, stored_bytes(spec))
        for spec in specs
    }
    assert classify(TensorHeader("gguf", tensors)).kind == "t5xxl"


def test_packed_values_are_used_for_block_matrices_only() -> None:
    asked = []

    def packed(seed: int, name: str, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        asked.append(name)
        return random_matrix("q8_0", seed, name, shape, deviation)

    for spec in flux_tensors(NARROW, 0, "q8_0", packed):
        assert spec.values is not None
        is_packed = spec.values().dtype == np.uint8
        assert is_packed == (spec.dtype == "q8_0") == (spec.name in asked)
    assert "single_blocks.0.linear2.weight" in asked


@pytest.mark.engine
@pytest.mark.parametrize("dtype", ["q4_0", "q4_k", "q8_0"])
def test_the_engine_makes_pictures_with_them(
    folder: Path, standin_weights: dict[str, Path], dtype: str
) -> None:
    with StableDiffusion(
        diffusion_model_path=flux_model(folder, NARROW, dtype),
        clip_l_path=standin_weights["clip_l"],
        taesd_path=standin_weights["taesd"],
        pulid_weights=pulid_weights(folder, NARROW, HEADS),
        n_threads=2,
    ) as engine:
        alice = Identity.load(identity_files(folder)[0])
        options = {"width": 64, "height": 64, "sample_steps": 1, "cfg_scale": 1.0, "seed": 42}
        plain, with_alice = (
            np.asarray(engine.generate_image("a tree", pulid_id_embedding=person, **options)[0])
            for person in (None, alice)
        )
    # NaN would be one colour.
    assert plain.std() > 10
    assert (plain != with_alice).mean() > 0.1


def test_pulid_weights_fit_the_flux(folder: Path) -> None:
    flux = flux_info(flux_model(folder, NARROW, "q4_0"))
    with PulidWeights(pulid_weights(folder, NARROW, HEADS)) as weights:
        weights.check_matches(flux)
        assert weights.heads == HEADS
