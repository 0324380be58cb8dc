"""Small stand-ins for every weights file of the extractor, made from a seed.

They have the published names, tensor names, and input and output signatures, and small sizes.
What comes out is noise that depends on the face, which is enough to test every step and to
show the whole way from a photo to a picture; it is no likeness. The detector alone does its job,
on the photos it was fitted to: see `detector`.

`idformer_tensors` needs NumPy only; the files need torch (and the ONNX pair the package onnx).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_extractor.dependencies import require_module
from pulid_sdcpp.errors import OutputFileError

__all__ = ["ARCFACE_DIM", "CLIP_DIM", "VIT_WIDTH", "idformer_tensors", "make_extractor_standins"]

ARCFACE_DIM = 512
"""Width of the ArcFace embedding, as published."""
CLIP_DIM = 48
"""Width of the stand-in's CLIP embedding (published: 768)."""
VIT_WIDTH = 128
"""Width of the stand-in's vision tower (published: 1024): two heads."""
VIT_DEPTH = 6
"""Blocks of the stand-in's vision tower (published: 24), the fewest that have five depths."""
VIT_MLP = 192
VIT_GRID = 8
VIT_PATCH_PX = 14
"""As published; with the grid above the tower looks at 112 x 112 pixels (published: 336)."""

Array = NDArray[np.float32]


def make_extractor_standins(folder: str | os.PathLike[str], seed: int = 0) -> dict[str, Path]:
    """Write the stand-ins of every file but PuLID's own, which also holds the cross-attention.

    The same seed gives the same bytes of every tensor. To the PuLID file belong
    `idformer_tensors(seed)`, which go with these.

    Args:
        folder: The models folder; made when absent.
        seed: Any number; another one gives other networks (the detector excepted).

    Returns:
        The files by role: detector, recogniser, eva, parsing (see `models_folder`).

    Raises:
        MissingDependencyError: torch or onnx is not installed.
        OutputFileError: A file cannot be written.
    """
    from pulid_sdcpp.system.atomic_file import atomic_file

    from .detector import detector_model
    from .recogniser import recogniser_model

    torch = require_module("torch")
    root = Path(folder)
    try:
        (root / "antelopev2").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputFileError(f"cannot make the folder {root}: {reason}") from error
    files = {
        "detector": root / "antelopev2" / "scrfd_10g_bnkps.onnx",
        "recogniser": root / "antelopev2" / "glintr100.onnx",
        "eva": root / "EVA02_CLIP_L_336_psz14_s6B.pt",
        "parsing": root / "parsing_bisenet.pth",
    }
    with atomic_file(files["detector"]) as file:
        file.write(detector_model())
    with atomic_file(files["recogniser"]) as file:
        file.write(recogniser_model(seed))
    with atomic_file(files["eva"]) as file:
        halves = {name: value.astype(np.float16) for name, value in eva_tensors(seed).items()}
        torch.save(_as_torch(halves), file)
    with atomic_file(files["parsing"]) as file:
        torch.save(_as_torch(parsing_tensors(seed)), file)
    return files


def idformer_tensors(
    seed: int = 0,
    *,
    id_dim: int = 2048,
    n_tokens: int = 32,
    dim: int = 128,
    n_layers: int = 10,
    n_id_tokens: int = 5,
    vit_dim: int = VIT_WIDTH,
    clip_dim: int = CLIP_DIM,
    prefix: str = "pulid_encoder.",
) -> dict[str, Array]:
    """The IDFormer, to be put into a stand-in of the PuLID weights for Flux, or v1.1 for SDXL.

    Args:
        seed: Any number.
        id_dim: Width of an identity token.
        n_tokens: Identity tokens.
        dim: Width inside, a multiple of 64 (published: 1024).
        n_layers: A multiple of five (published: 10).
        n_id_tokens: Tokens made of a photo's embeddings (published: 5).
        vit_dim: Width of the vision tower that goes with it.
        clip_dim: Width of its CLIP embedding.
        prefix: Of the names; `id_adapter.` in v1.1's file for SDXL.

    Returns:
        The 172 tensors of the published file (with ten layers) by name, float32.
    """
    rng = np.random.default_rng([seed, 3])
    tensors: dict[str, Array] = {
        "latents": _normal(rng, (1, n_tokens, dim), 0.3),
        "proj_out": _normal(rng, (dim, id_dim), 0.25 * dim**-0.5),
    }
    for layer in range(n_layers):
        attend, feed = f"layers.{layer}.0", f"layers.{layer}.1"
        tensors |= _norm(f"{attend}.norm1", dim) | _norm(f"{attend}.norm2", dim)
        # Sharp attention with a loud voice: people come out different, not alike.
        tensors |= _linear(rng, f"{attend}.to_q", dim, dim, bias=False, gain=3.0)
        tensors |= _linear(rng, f"{attend}.to_kv", dim, 2 * dim, bias=False)
        tensors |= _linear(rng, f"{attend}.to_out", dim, dim, bias=False, gain=2.0)
        tensors |= _norm(f"{feed}.0", dim)
        tensors |= _linear(rng, f"{feed}.1", dim, 2 * dim, bias=False)
        tensors |= _linear(rng, f"{feed}.3", 2 * dim, dim, bias=False)
    for scale in range(5):
        tensors |= _mapping(rng, f"mapping_{scale}", vit_dim, dim, dim)
    embedding = ARCFACE_DIM + clip_dim
    tensors |= _mapping(rng, "id_embedding_mapping", embedding, dim, dim * n_id_tokens)
    return {prefix + name: value for name, value in tensors.items()}


def eva_tensors(seed: int = 0) -> dict[str, Array]:
    """A small vision tower in EVA-CLIP's own layout, `visual.*`."""
    rng = np.random.default_rng([seed, 1])
    width = VIT_WIDTH
    tensors: dict[str, Array] = {
        "cls_token": _normal(rng, (1, 1, width), 0.5),
        "pos_embed": _normal(rng, (1, 1 + VIT_GRID**2, width), 0.5),
    }
    patch = 3 * VIT_PATCH_PX**2
    weights = _normal(rng, (width, patch), patch**-0.5)
    shape = (width, 3, VIT_PATCH_PX, VIT_PATCH_PX)
    tensors["patch_embed.proj.weight"] = weights.reshape(shape)
    tensors["patch_embed.proj.bias"] = _normal(rng, (width,), 0.1)
    for index in range(VIT_DEPTH):
        block = f"blocks.{index}"
        tensors |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
        for name in ("q_proj", "k_proj", "v_proj"):
            tensors |= _linear(rng, f"{block}.attn.{name}", width, width, bias=False)
        tensors[f"{block}.attn.q_bias"] = _normal(rng, (width,), 0.1)
        tensors[f"{block}.attn.v_bias"] = _normal(rng, (width,), 0.1)
        tensors |= _norm(f"{block}.attn.inner_attn_ln", width)
        tensors |= _linear(rng, f"{block}.attn.proj", width, width)
        tensors |= _linear(rng, f"{block}.mlp.w1", width, VIT_MLP)
        tensors |= _linear(rng, f"{block}.mlp.w2", width, VIT_MLP)
        tensors |= _norm(f"{block}.mlp.ffn_ln", VIT_MLP)
        tensors |= _linear(rng, f"{block}.mlp.w3", VIT_MLP, width)
    tensors |= _norm("norm", width)
    tensors |= _linear(rng, "head", width, CLIP_DIM)
    named = {f"visual.{name}": value for name, value in tensors.items()}
    # The published file is a whole CLIP; a little of the rest shows that it is left alone.
    named["logit_scale"] = np.float32(4.6).reshape(())
    named["text.positional_embedding"] = _normal(rng, (77, 8), 0.01)
    return named


def parsing_tensors(seed: int = 0) -> dict[str, NDArray[Any]]:
    """A narrow BiSeNet with facexlib's names, its auxiliary outputs included."""
    rng = np.random.default_rng([seed, 2])
    tensors: dict[str, NDArray[Any]] = {}

    def conv(name: str, inside: int, outside: int, size: int) -> None:
        scale = (2.0 / (inside * size * size)) ** 0.5
        tensors[f"{name}.weight"] = _normal(rng, (outside, inside, size, size), scale)

    def batch_norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = np.ones(width, np.float32)
        tensors[f"{name}.bias"] = _normal(rng, (width,), 0.1)
        tensors[f"{name}.running_mean"] = _normal(rng, (width,), 0.1)
        tensors[f"{name}.running_var"] = np.ones(width, np.float32)
        tensors[f"{name}.num_batches_tracked"] = np.array(1, np.int64)

    def block(name: str, inside: int, outside: int, size: int) -> None:
        conv(f"{name}.conv", inside, outside, size)
        batch_norm(f"{name}.bn", outside)

    stem, stages, context, fusion = 8, (8, 12, 16, 24), 12, 16
    conv("cp.resnet.conv1", 3, stem, 7)
    batch_norm("cp.resnet.bn1", stem)
    before = stem
    for number, width in enumerate(stages, 1):
        for index, inside in enumerate((before, width)):
            part = f"cp.resnet.layer{number}.{index}"
            conv(f"{part}.conv1", inside, width, 3)
            batch_norm(f"{part}.bn1", width)
            conv(f"{part}.conv2", width, width, 3)
            batch_norm(f"{part}.bn2", width)
            if index == 0 and number > 1:
                conv(f"{part}.downsample.0", inside, width, 1)
                batch_norm(f"{part}.downsample.1", width)
        before = width
    for name, inside in (("arm16", stages[2]), ("arm32", stages[3])):
        block(f"cp.{name}.conv", inside, context, 3)
        conv(f"cp.{name}.conv_atten", context, context, 1)
        batch_norm(f"cp.{name}.bn_atten", context)
    block("cp.conv_head32", context, context, 3)
    block("cp.conv_head16", context, context, 3)
    block("cp.conv_avg", stages[3], context, 1)
    block("ffm.convblk", stages[1] + context, fusion, 1)
    conv("ffm.conv1", fusion, fusion // 4, 1)
    conv("ffm.conv2", fusion // 4, fusion, 1)
    for name, inside in (("conv_out", fusion), ("conv_out16", context), ("conv_out32", context)):
        block(f"{name}.conv", inside, 16, 3)
        conv(f"{name}.conv_out", 16, 19, 1)
    return tensors


def _mapping(
    rng: np.random.Generator, name: str, inside: int, hidden: int, outside: int
) -> dict[str, Array]:
    return (
        _linear(rng, f"{name}.0", inside, hidden)
        | _norm(f"{name}.1", hidden)
        | _linear(rng, f"{name}.3", hidden, hidden)
        | _norm(f"{name}.4", hidden)
        | _linear(rng, f"{name}.6", hidden, outside)
    )


def _linear(
    rng: np.random.Generator,
    name: str,
    inside: int,
    outside: int,
    *,
    bias: bool = True,
    gain: float = 1.0,
) -> dict[str, Array]:
    tensors = {f"{name}.weight": _normal(rng, (outside, inside), gain * inside**-0.5)}
    if bias:
        tensors[f"{name}.bias"] = _normal(rng, (outside,), 0.1)
    return tensors


def _norm(name: str, width: int) -> dict[str, Array]:
    return {
        f"{name}.weight": np.ones(width, np.float32),
        f"{name}.bias": np.zeros(width, np.float32),
    }


def _normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    return (rng.standard_normal(shape, np.float32) * np.float32(scale)).astype(np.float32)


def _as_torch(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    torch = require_module("torch")
    return {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
