"""Random models of the real layer width, for measuring: pictures made with them are noise.

    python benchmarks/real_width_models.py build/benchmark-models

Flux has its real width (hidden 3072, 24 heads of 128, 12288 in between, context 4096) and, for
speed and disk, 2 double and 4 single blocks in place of 19 and 38; --full makes them all. PuLID's
attention layers have their real sizes, one per block that has one. T5-XXL has its real
width (4096, 10240, 64 heads) and all its 24 layers, as the engine fixes their number: 2.7 GB in
Q4_0, 5.1 GB in Q8_0. CLIP-L and the tiny autoencoder are the small stand-ins, of a size the engine
fixes too. A file that is there with the same parameters is kept.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pulid_sdcpp import Identity
from pulid_sdcpp.families.sdxl.unet_layout import UnetInfo, published_sdxl_unet
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.random_blocks import TYPES, random_matrix
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standins import (
    ID_DIM,
    FluxShape,
    UnetShape,
    flux_tensors,
    make_sdxl_standin_weights,
    make_standin_weights,
    normal,
    pulid_tensors,
    unet_tensors,
    write_few_unet_layers,
)

__all__ = [
    "FULL_SHAPE",
    "SHORT_SHAPE",
    "flux_model",
    "identity_files",
    "pulid_weights",
    "sdxl_models",
    "small_models",
    "t5_model",
    "t5_tensors",
    "unet_pulid_weights",
]

HIDDEN = 3072
SHORT_SHAPE = FluxShape(2, 4, HIDDEN)
FULL_SHAPE = FluxShape(19, 38, HIDDEN)
PULID_HEADS = 16
ID_TOKENS = 32

T5_LAYERS = 24
"""The engine makes 24 layers and refuses files with fewer.

Source: stable-diffusion.cpp, src/t5.hpp, T5Params.
"""
T5_WIDTH = 4096
T5_MLP_WIDTH = 10240
T5_HEADS = 64
T5_VOCABULARY = 32128
T5_POSITION_BUCKETS = 32
# Attention logits of deviation 2: T5 does not divide them by the square root of a head's width.
T5_QUERY_GAIN = 2 / math.sqrt(T5_WIDTH // T5_HEADS)
T5_BRANCH_GAIN = 0.3
"""Keeps 48 random branches from drowning the words."""

SEED = 0
DESCRIPTION = "random weights of real width, for measuring: pictures are noise"


def flux_model(folder: Path, shape: FluxShape, dtype: str) -> Path:
    """A Flux file with the blocks' matrices in `dtype`; made unless it is there.

    Args:
        dtype: One of `random_blocks.TYPES`.

    Raises:
        OutputFileError: The file cannot be written.
        ValueError: An unknown type, or a width that it cannot hold.
    """
    kind = "dev" if shape.guidance_embed else "schnell"
    name = f"flux1-{kind}-{shape.depth}-{shape.depth_single}-{shape.hidden}-{dtype.upper()}.gguf"
    path = folder / name
    if not path.is_file():
        tensors = flux_tensors(shape, SEED, dtype, partial(random_matrix, dtype))
        _write(path, "flux", tensors)
    return path


def pulid_weights(folder: Path, shape: FluxShape, heads: int = PULID_HEADS) -> Path:
    """PuLID's attention layers for a Flux, bf16; made unless they are there.

    Raises:
        OutputFileError: The file cannot be written.
    """
    path = folder / f"pulid-{shape.depth}-{shape.depth_single}-{shape.hidden}-{heads}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        tensors = pulid_tensors(shape, SEED, heads=heads)
        write_safetensors(path, tensors, {"description": DESCRIPTION})
    return path


def unet_pulid_weights(folder: Path, unet: UnetInfo | None = None) -> Path:
    """PuLID's identity layers for a UNet of SDXL, F16; made unless they are there.

    Args:
        unet: None: the published one.

    Raises:
        OutputFileError: The file cannot be written.
    """
    layers = (unet or published_sdxl_unet()).layers
    widths = {layer.index: layer.width for layer in layers}
    path = folder / f"pulid-sdxl-{len(widths)}-{sum(widths.values())}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_few_unet_layers(path, widths=widths, id_dim=ID_DIM, seed=SEED)
    return path


def sdxl_models(folder: Path, dtype: str = "q4_0") -> dict[str, Path]:
    """An SDXL: "unet" of the published sizes, and small "clip_l", "clip_g" and "taesd".

    Args:
        dtype: Of the UNet's matrices: "q4_0", "q8_0".

    Raises:
        OutputFileError: A file cannot be written.
    """
    path = folder / f"sdxl-unet-{dtype.upper()}.gguf"
    if not path.is_file():
        _write(path, "sdxl", unet_tensors(UnetShape(320, (2, 10)), SEED, dtype))
    return {**make_sdxl_standin_weights(folder / "small-sdxl"), "unet": path}


def t5_model(folder: Path, dtype: str) -> Path:
    """A T5-XXL encoder with the matrices in `dtype`; made unless it is there.

    Raises:
        OutputFileError: The file cannot be written.
        ValueError: An unknown type.
    """
    path = folder / f"t5xxl-{dtype.upper()}.gguf"
    if not path.is_file():
        _write(path, "t5encoder", list(t5_tensors(dtype)))
    return path


def t5_tensors(dtype: str) -> Iterator[TensorSpec]:
    """The tensors of a T5-XXL encoder, named as llama.cpp's conversion names them."""

    def matrix(name: str, rows: int, columns: int, gain: float = 1.0) -> TensorSpec:
        # Of the embedding a row is taken as it is; elsewhere a row's columns are summed up.
        deviation = gain if name == "token_embd.weight" else gain / math.sqrt(columns)
        values = partial(random_matrix, dtype, SEED, name, (rows, columns), deviation)
        return TensorSpec(name, (rows, columns), dtype, values)

    def norm(name: str) -> TensorSpec:
        return TensorSpec(name, (T5_WIDTH,), "f32", partial(np.ones, T5_WIDTH, np.float32))

    yield matrix("token_embd.weight", T5_VOCABULARY, T5_WIDTH)
    for layer in range(T5_LAYERS):
        prefix = f"enc.blk.{layer}"
        yield norm(f"{prefix}.attn_norm.weight")
        if layer == 0:
            shape = (T5_POSITION_BUCKETS, T5_HEADS)
            name = f"{prefix}.attn_rel_b.weight"
            yield TensorSpec(name, shape, "f16", partial(normal, SEED, name, shape))
        for part, gain in (("q", T5_QUERY_GAIN), ("k", 1.0), ("v", 1.0), ("o", T5_BRANCH_GAIN)):
            yield matrix(f"{prefix}.attn_{part}.weight", T5_WIDTH, T5_WIDTH, gain)
        yield norm(f"{prefix}.ffn_norm.weight")
        yield matrix(f"{prefix}.ffn_gate.weight", T5_MLP_WIDTH, T5_WIDTH)
        yield matrix(f"{prefix}.ffn_up.weight", T5_MLP_WIDTH, T5_WIDTH)
        yield matrix(f"{prefix}.ffn_down.weight", T5_WIDTH, T5_MLP_WIDTH, T5_BRANCH_GAIN)
    yield norm("enc.output_norm.weight")


def small_models(folder: Path) -> dict[str, Path]:
    """The stand-ins that need no width: "clip_l", "taesd", and "flux", one narrow block each.

    The narrow Flux is for measuring everything but Flux.

    Raises:
        OutputFileError: A file cannot be written.
    """
    files = make_standin_weights(
        folder / "small", depth=1, depth_single=1, hidden=256, quantizations=("q8_0",)
    )
    return {"clip_l": files["clip_l"], "taesd": files["taesd"], "flux": files["flux-q8_0"]}


def identity_files(folder: Path, names: Sequence[str] = ("alice", "bob")) -> list[Path]:
    """People who do not exist; made unless they are there.

    Raises:
        OutputFileError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.pulidembd" for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.is_file():
            tokens = normal(SEED, name, (ID_TOKENS, ID_DIM))
            nobody = normal(SEED, "nobody", (ID_TOKENS, ID_DIM))
            Identity.from_array(tokens, nobody).save(path)
    return paths


def _write(path: Path, architecture: str, tensors: Sequence[TensorSpec]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"making {path}", file=sys.stderr)
    metadata: dict[str, str | int] = {
        "general.architecture": architecture,
        "general.description": DESCRIPTION,
        "general.quantization_version": 2,
    }
    write_gguf(path, tensors, metadata)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument("folder", type=Path)
    arguments.add_argument(
        "--type",
        choices=TYPES,
        action="append",
        help="of Flux; several times; not given: q4_0, q4_k, q8_0",
    )
    arguments.add_argument(
        "--t5-type", choices=TYPES, action="append", help="of T5; several times; not given: no T5"
    )
    arguments.add_argument("--dev", action="store_true", help="FLUX.1-dev; not given: schnell")
    arguments.add_argument("--full", action="store_true", help="19 + 38 blocks in place of 2 + 4")
    options = arguments.parse_args()
    depth = FULL_SHAPE if options.full else SHORT_SHAPE
    shape = FluxShape(depth.depth, depth.depth_single, HIDDEN, guidance_embed=options.dev)
    started_s = time.perf_counter()
    made = [
        flux_model(options.folder, shape, dtype)
        for dtype in options.type or ("q4_0", "q4_k", "q8_0")
    ]
    made += [t5_model(options.folder, dtype) for dtype in options.t5_type or ()]
    made += [pulid_weights(options.folder, shape), *identity_files(options.folder)]
    made += small_models(options.folder).values()
    for path in made:
        print(f"{path.stat().st_size / 1e6:8.0f} MB  {path}")
    print(f"{time.perf_counter() - started_s:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
