from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine_memory import MIB, allocations
from published_shapes import (
    write_autoencoder,
    write_clip_l,
    write_flux,
    write_pulid,
    write_t5,
)
from pulid_sdcpp import ContextOptions, Identity, ModelFileError, StableDiffusion
from pulid_sdcpp.memory.parameters import model_sizes, row_bytes
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

Files = dict[str, Path]


def context(weights: Files, flux: str = "flux-q4_0", **options: object) -> ContextOptions:
    paths: dict[str, object] = {
        "diffusion_model_path": weights[flux],
        "clip_l_path": weights["clip_l"],
        "pulid_weights": weights["pulid"],
    }
    if "vae_path" not in options:
        paths["taesd_path"] = weights["taesd"]
    return ContextOptions(**{**paths, **options})  # type: ignore[arg-type]


def load(options: ContextOptions) -> StableDiffusion:
    """Repacked matrices take as much, but the engine's log counts them apart."""
    return StableDiffusion(**{**options.to_engine_kwargs(), "repack": False})


@pytest.mark.engine
@pytest.mark.parametrize("flux", ["flux-f16", "flux-q8_0", "flux-q4_0", "flux-q4_k"])
@pytest.mark.parametrize("wtype", ["default", "q8_0"])
def test_weights_take_what_the_engine_allocates(
    standin_weights: Files, flux: str, wtype: str
) -> None:
    options = context(standin_weights, flux, wtype=wtype)
    sizes = model_sizes(options)
    with allocations() as seen, load(options):
        pass
    for network, predicted in (
        ("flux", sizes.diffusion),
        ("clip", sizes.clip),
        ("taesd", sizes.encoder + sizes.decoder),
    ):
        allocated = seen.found[network, "params"]
        print(f"{network}: predicted {predicted / MIB:.2f}, allocated {allocated / MIB:.2f} MiB")
        assert allocated - MIB // 100 <= predicted <= allocated * 1.02


@pytest.mark.engine
def test_repacked_weights_take_as_much(standin_weights: Files) -> None:
    options = context(standin_weights)
    sizes = model_sizes(options)
    with StableDiffusion(**options.to_engine_kwargs()) as engine:
        allocated = engine.diffusion_params_bytes
    assert allocated <= sizes.diffusion + sizes.identity <= allocated * 1.02


@pytest.mark.engine
def test_the_decoder_alone_takes_what_the_engine_allocates(standin_weights: Files) -> None:
    options = context(standin_weights, vae_path=standin_weights["vae"], vae_decode_only=True)
    sizes = model_sizes(options)
    with allocations() as seen, load(options):
        pass
    assert sizes.encoder == 0
    assert seen.found["vae", "params"] == pytest.approx(sizes.decoder, rel=0.02)


@pytest.mark.engine
@pytest.mark.parametrize("dtype", ["f16", "q8_0", "f32"])
def test_an_identity_takes_what_the_engine_allocates(standin_weights: Files, dtype: str) -> None:
    options = context(standin_weights, pulid_dtype=dtype)
    sizes = model_sizes(options)
    with allocations() as seen, load(options) as engine:
        allocated = engine.diffusion_params_bytes - seen.found["flux", "params"]
        identity = Identity.from_array(np.ones((32, 2048), np.float32))
        engine.generate_image("x", pulid_id_embedding=identity, cfg_scale=1.0, sample_steps=1,
                              width=64, height=64)  # fmt: skip
        # The first slot was there from the beginning.
        assert engine.diffusion_params_bytes - seen.found["flux", "params"] == allocated
    assert allocated - MIB // 100 <= sizes.identity <= allocated * 1.02 + MIB // 100


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("published")
    return {
        "flux": write_flux(folder / "flux1-schnell-Q4_0.gguf"),
        "pulid": write_pulid(folder / "pulid_flux_v0.9.1.safetensors"),
        "t5": write_t5(folder / "t5xxl_fp16.safetensors"),
        "clip_l": write_clip_l(folder / "clip_l.safetensors"),
        "vae": write_autoencoder(folder / "ae.safetensors"),
    }


def published_context(files: Files, **options: object) -> ContextOptions:
    paths = {
        "diffusion_model_path": files["flux"],
        "clip_l_path": files["clip_l"],
        "t5xxl_path": files["t5"],
        "vae_path": files["vae"],
        "pulid_weights": files["pulid"],
    }
    return ContextOptions(**{**paths, **options})  # type: ignore[arg-type]


def test_the_published_files(published: Files) -> None:
    sizes = model_sizes(published_context(published))
    assert (sizes.hidden, sizes.heads, sizes.identity_rows) == (3072, 24, 512)
    assert sizes.diffusion == pytest.approx(6.78e9, rel=0.001)
    assert sizes.identity == pytest.approx(126e6, rel=0.001)
    assert sizes.largest_matrix == 7 * 3072 * 3072  # a single block's first
    # As the engine's log had it for these two: 235.06 MB; 94.57 MB, and 160.00 MB with encoder.
    assert sizes.clip / MIB == pytest.approx(235.06, abs=0.05)
    assert sizes.decoder / MIB == pytest.approx(94.57, abs=0.05)
    assert (sizes.decoder + sizes.encoder) / MIB == pytest.approx(160.0, abs=0.05)
    assert sizes.t5 == pytest.approx(9.525e9, rel=0.001)
    double_block = 36 * 3072**2 / 32 * 18
    assert sizes.diffusion_segment == pytest.approx(double_block, rel=0.01)
    t5_block = 2 * (4 * 4096**2 + 3 * 4096 * 10240)
    assert sizes.t5_segment == pytest.approx(t5_block, rel=0.01)
    assert sizes.decoder_channels == 128


def test_embeddings_of_a_type_without_row_lookup_become_f32(
    published: Files, tmp_path: Path
) -> None:
    def embedding_and_matrix(dtype: str) -> int:
        path = tmp_path / f"{dtype}.gguf"
        tensors = [
            TensorSpec("token_embd.weight", (32128, 4096), dtype),
            TensorSpec("enc.blk.0.attn_q.weight", (4096, 4096), dtype),
        ]
        write_gguf(path, tensors, {"general.architecture": "t5encoder"})
        return model_sizes(published_context(published, t5xxl_path=path)).t5

    rows, matrix = 32128 * 4096, 4096 * 4096
    assert embedding_and_matrix("q4_0") == (rows + matrix) // 32 * 18 + 256
    assert embedding_and_matrix("q4_k") == 4 * rows + matrix // 256 * 144 + 256


def test_types_can_be_given_by_name(published: Files) -> None:
    options = published_context(published, tensor_type_rules="single_blocks=q8_0")
    single = 38 * 15 * 3072**2  # all matrices of the single blocks
    more = model_sizes(options).diffusion - model_sizes(published_context(published)).diffusion
    assert more == single // 32 * 34 - single // 32 * 18


def test_without_pulid_there_is_no_identity(published: Files) -> None:
    sizes = model_sizes(published_context(published, pulid_weights=None))
    assert (sizes.identity, sizes.identity_rows) == (0, 0)


def test_a_file_of_another_kind_is_refused(published: Files) -> None:
    with pytest.raises(ModelFileError, match="expected a Flux model"):
        model_sizes(published_context(published, diffusion_model_path=published["vae"]))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f32", 1024), ("f16", 512), ("q8_0", 272), ("q4_0", 144), ("q4_k", 144)],
)
def test_bytes_of_a_row(dtype: str, expected: int) -> None:
    assert row_bytes(dtype, 256) == expected
    assert row_bytes(dtype, 255) in (expected, expected * 255 // 256)
