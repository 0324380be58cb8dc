"""The pocket model's text encoder: from the small file of the pack to the file the engine reads.

The engine knows one size of CLIP-L: 768 wide, 12 layers, 49,408 tokens. The pocket model's encoder
is one of which only a corner is not zero, and its file holds that corner and nothing else:

    token_ids           (words,) i32   the tokens that have a meaning
    token_embedding     (words, width) f16
    the others          named as in CLIP-L, f16 or f32, each the upper left corner of the full
                        tensor; those that are absent are zero

Attention matrices are seen as (12 heads, 64, 768), the output's as (768, 12 heads, 64), so that a
corner may take a part of some heads.

The engine has the whole of it in memory, so types are small: a matrix that is f16 in the small file
is written in Q8_0, one that is f32 in F16, the token table in Q4_0, and matrices of zeros in the
smallest type that every backend knows, as holes where the disk has them.

Source of names and sizes: openai/clip-vit-large-patch14; stable-diffusion.cpp, src/clip.hpp.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from ..errors import ModelFileError
from ..model_files.clip_l_layout import (
    EMPTY_TYPE,
    HEAD_DIM,
    HEADS,
    LAYERS,
    MLP_WIDTH,
    POSITIONS,
    VOCABULARY,
    WIDTH,
)
from ..tensors.gguf_writer import write_gguf
from ..tensors.tensor_file import TensorFile
from ..tensors.tensor_spec import TensorSpec
from ..terminal_text import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LAYOUT", "expand_text_encoder"]

LAYOUT = "clip_l-corner-1"
"""What a small file says of itself under "layout"."""

TABLE_TYPE = "q4_0"
"""Of the token embedding: the smallest that the engine looks rows up in."""
MATRIX_TYPES = {"f16": "q8_0", "f32": "f16"}
_LARGEST = 60_000.0
"""Float16 holds no more."""
_PREFIX = "text_model"
_POSITION_EMBEDDING = f"{_PREFIX}.embeddings.position_embedding.weight"
_TOKEN_EMBEDDING = f"{_PREFIX}.embeddings.token_embedding.weight"
_FINAL_NORM = f"{_PREFIX}.final_layer_norm"


def expand_text_encoder(compact: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Write the full `clip_l.gguf` of a small text encoder file, whole or not at all.

    Args:
        compact: The pack's `text_encoder.safetensors`.
        output: Where to; about 75 MB, of which a few are not holes.

    Raises:
        ModelFileError: `compact` is missing, damaged, or not such a file.
        OutputFileError: `output` cannot be written.
    """
    with TensorFile(compact) as file:
        if file.metadata.get("layout") != LAYOUT:
            raise ModelFileError(
                f"{file.path}: expected a small text encoder (layout {LAYOUT}),"
                f" found {quoted(file.metadata.get('layout', 'no layout'))}"
            )
        specs = [_token_table(file)]
        full = _full_shapes()
        for name, shape in full.items():
            specs.append(_spec(file, name, shape))
        strangers = set(file.names()) - set(full) - {"token_ids", "token_embedding"}
        if strangers:
            raise ModelFileError(f"{file.path}: unexpected tensor {quoted(min(strangers))}")
        metadata: dict[str, str | int] = {
            "general.architecture": "clip",
            "general.description": "text encoder of the pocket model",
            "general.quantization_version": 2,
        }
        write_gguf(output, specs, metadata)


def _full_shapes() -> dict[str, tuple[int, ...]]:
    """All tensors but the token table, with heads as dimensions of their own."""
    heads = (HEADS, HEAD_DIM)
    shapes: dict[str, tuple[int, ...]] = {_POSITION_EMBEDDING: (POSITIONS, WIDTH)}
    for layer in range(LAYERS):
        prefix = f"{_PREFIX}.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj"):
            shapes[f"{prefix}.self_attn.{part}.weight"] = (*heads, WIDTH)
            shapes[f"{prefix}.self_attn.{part}.bias"] = heads
        shapes[f"{prefix}.self_attn.out_proj.weight"] = (WIDTH, *heads)
        shapes[f"{prefix}.self_attn.out_proj.bias"] = (WIDTH,)
        shapes[f"{prefix}.mlp.fc1.weight"] = (MLP_WIDTH, WIDTH)
        shapes[f"{prefix}.mlp.fc1.bias"] = (MLP_WIDTH,)
        shapes[f"{prefix}.mlp.fc2.weight"] = (WIDTH, MLP_WIDTH)
        shapes[f"{prefix}.mlp.fc2.bias"] = (WIDTH,)
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{prefix}.{norm}.{part}": (WIDTH,) for part in ("weight", "bias")}
    return shapes | {f"{_FINAL_NORM}.{part}": (WIDTH,) for part in ("weight", "bias")}


def _spec(file: TensorFile, name: str, shape: tuple[int, ...]) -> TensorSpec:
    stored = _engine_shape(name, shape)
    is_matrix = len(stored) == 2 and name != _POSITION_EMBEDDING  # which the engine has in f32
    if name not in file:
        if name in (_POSITION_EMBEDDING, f"{_FINAL_NORM}.weight"):
            raise ModelFileError(f"{file.path}: incomplete text encoder: {name} is missing")
        return TensorSpec(name, stored, EMPTY_TYPE if is_matrix else "f32")
    corner = _read(file, name)
    fits = len(corner.shape) == len(shape) and all(
        0 < part <= whole for part, whole in zip(corner.shape, shape, strict=True)
    )
    if not fits:
        raise ModelFileError(
            f"{file.path}: expected {name} to be a corner of {shape}, found {corner.shape}"
        )
    dtype = MATRIX_TYPES.get(file.dtype(name), "f16") if is_matrix else "f32"
    return TensorSpec(name, stored, dtype, partial(_widened, corner, shape, stored))


def _engine_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """With heads and their dimensions as one."""
    if ".self_attn." not in name or name.endswith("out_proj.bias"):
        return shape
    merged = HEADS * HEAD_DIM
    return {3: (merged, merged), 2: (merged,)}[len(shape)]


def _widened(
    corner: NDArray[np.float32], shape: tuple[int, ...], stored: tuple[int, ...]
) -> NDArray[np.float32]:
    import numpy as np

    whole = np.zeros(shape, np.float32)
    whole[tuple(slice(size) for size in corner.shape)] = corner
    return whole.reshape(stored)


def _token_table(file: TensorFile) -> TensorSpec:
    import gguf
    import numpy as np

    ids, words = file.read("token_ids", np.int64), _read(file, "token_embedding")
    if ids.ndim != 1 or words.ndim != 2 or len(ids) != len(words) or not len(ids):
        raise ModelFileError(
            f"{file.path}: expected a row of token_embedding for each of token_ids,"
            f" found {words.shape} for {ids.shape}"
        )
    if not 0 < words.shape[1] <= WIDTH:
        raise ModelFileError(f"{file.path}: token_embedding is {words.shape[1]} wide, not {WIDTH}")
    if ids.min() < 0 or ids.max() >= VOCABULARY or len(np.unique(ids)) != len(ids):
        raise ModelFileError(f"{file.path}: token_ids are not different numbers below {VOCABULARY}")
    rows = np.zeros((len(words), WIDTH), np.float32)
    rows[:, : words.shape[1]] = words

    def table() -> NDArray[np.uint8]:
        """Zeros are zero bytes in this type."""
        packed = gguf.quants.quantize(rows, gguf.GGMLQuantizationType[TABLE_TYPE.upper()])
        whole = np.zeros((VOCABULARY, packed.shape[1]), np.uint8)
        whole[ids] = packed
        return whole

    return TensorSpec(_TOKEN_EMBEDDING, (VOCABULARY, WIDTH), TABLE_TYPE, table)


def _read(file: TensorFile, name: str) -> NDArray[np.float32]:
    import numpy as np

    values: NDArray[np.float32] = file.read(name)
    if not np.isfinite(values).all() or np.abs(values).max(initial=0) > _LARGEST:
        raise ModelFileError(f"{file.path}: {name} has values that are no weights")
    return values
