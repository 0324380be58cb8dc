"""Hand-made gguf and safetensors files, valid and broken, for tests.

Written from the formats' descriptions, without the library that reads them and without
the `gguf` and `safetensors` packages, so that both can be checked against it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

F32, F16, Q8_0, BF16 = 0, 1, 8, 30


def text(value: str | bytes) -> bytes:
    """A gguf string."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def u32(value: int) -> bytes:
    """A gguf uint32 metadata value."""
    return struct.pack("<II", 4, value)


def string(value: str | bytes) -> bytes:
    """A gguf string metadata value."""
    return struct.pack("<I", 8) + text(value)


def gguf_tensor(name: str, ne: Sequence[int], kind: int, offset: int) -> bytes:
    """An entry of a gguf tensor list."""
    return (
        text(name)
        + struct.pack("<I", len(ne))
        + b"".join(struct.pack("<Q", size) for size in ne)
        + struct.pack("<IQ", kind, offset)
    )


def draft_gguf(
    metadata: Mapping[str, bytes],
    tensors: Sequence[bytes],
    data: bytes,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_tensors: int | None = None,
    n_keys: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A gguf file; counts may be told wrong."""
    header = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if n_tensors is None else n_tensors,
        len(metadata) if n_keys is None else n_keys,
    )
    for key, value in metadata.items():
        header += text(key) + value
    header += b"".join(tensors)
    header += bytes(-len(header) % alignment)
    return header + data


def draft_safetensors(entries: Mapping[str, Any], data: bytes) -> bytes:
    """A safetensors file of header entries that are taken as they are."""
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + data


def write_empty_safetensors(
    path: Path, shapes: Mapping[str, Sequence[int]], dtype: str = "F16", fill: int = 0
) -> Path:
    """A safetensors file with tensors of zeros, sparse where the file system can do that.

    Args:
        fill: Another byte, of which all the data is then.
    """
    size = {"F16": 2, "BF16": 2, "F32": 4, "I64": 8}[dtype]
    entries, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + prod(shape) * size
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    with path.open("wb") as file:
        file.write(draft_safetensors(entries, b""))
        if fill:
            file.write(bytes([fill]) * end)
        file.truncate(file.tell() + (0 if fill else end))
    return path


def flux_shapes(
    depth: int = 1,
    depth_single: int = 1,
    hidden: int = 128,
    *,
    head_dim: int = 128,
    guidance: bool = False,
    channels: int = 64,
    context: int = 4096,
    vector: int = 768,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Flux model's tensors."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    linear("img_in", hidden, channels)
    linear("txt_in", hidden, context)
    for name, inputs in [("time_in", 256), ("vector_in", vector)] + [
        ("guidance_in", 256)
    ] * guidance:
        linear(f"{name}.in_layer", hidden, inputs)
        linear(f"{name}.out_layer", hidden, hidden)
    for i in range(depth):
        for side in ("img", "txt"):
            linear(f"double_blocks.{i}.{side}_mod.lin", 6 * hidden, hidden)
            linear(f"double_blocks.{i}.{side}_attn.qkv", 3 * hidden, hidden)
            shapes[f"double_blocks.{i}.{side}_attn.norm.query_norm.scale"] = (head_dim,)
            shapes[f"double_blocks.{i}.{side}_attn.norm.key_norm.scale"] = (head_dim,)
            linear(f"double_blocks.{i}.{side}_attn.proj", hidden, hidden)
            linear(f"double_blocks.{i}.{side}_mlp.0", 4 * hidden, hidden)
            linear(f"double_blocks.{i}.{side}_mlp.2", hidden, 4 * hidden)
    for i in range(depth_single):
        linear(f"single_blocks.{i}.modulation.lin", 3 * hidden, hidden)
        linear(f"single_blocks.{i}.linear1", 7 * hidden, hidden)
        linear(f"single_blocks.{i}.linear2", hidden, 5 * hidden)
        shapes[f"single_blocks.{i}.norm.query_norm.scale"] = (head_dim,)
        shapes[f"single_blocks.{i}.norm.key_norm.scale"] = (head_dim,)
    linear("final_layer.linear", 64, hidden)
    linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden)
    return shapes


def pulid_shapes(
    layers: int = 2, hidden: int = 128, heads: int = 2, id_dim: int = 64
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the identity layers of PuLID weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(layers):
        for norm, width in (("norm1", id_dim), ("norm2", hidden)):
            shapes[f"pulid_ca.{i}.{norm}.weight"] = (width,)
            shapes[f"pulid_ca.{i}.{norm}.bias"] = (width,)
        shapes[f"pulid_ca.{i}.to_q.weight"] = (heads * 128, hidden)
        shapes[f"pulid_ca.{i}.to_kv.weight"] = (2 * heads * 128, id_dim)
        shapes[f"pulid_ca.{i}.to_out.weight"] = (hidden, heads * 128)
    return shapes


def write_sdxl_pulid(path: Path, version: str | None) -> Path:
    """PuLID weights for SDXL by their names alone: version "v1", "v1.1", or no encoder."""
    encoder: dict[str | None, dict[str, tuple[int, ...]]] = {
        "v1": {"id_adapter.body.0.weight": (8, 8)},
        "v1.1": {"id_adapter.latents": (1, 4, 8)},
        None: {},
    }
    layer = {f"id_adapter_attn_layers.1.id_to_{part}.weight": (64, 8) for part in "kv"}
    return write_empty_safetensors(path, {**encoder[version], **layer})


def write_pulid_weights(path: Path, seed: int = 0, **sizes: int) -> Path:
    """PuLID weights of random numbers in F16.

    Args:
        sizes: Of `pulid_shapes`.
    """
    chance = np.random.default_rng(seed)
    entries, data = {}, b""
    for name, shape in pulid_shapes(**sizes).items():
        start = len(data)
        data += (chance.standard_normal(shape) / 8).astype("<f2").tobytes()
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, len(data)]}
    path.write_bytes(draft_safetensors(entries, data))
    return path


IDENTITY_METADATA = {"general.architecture": string("pulid"), "pulid.version": u32(1)}
IDENTITY_TOKENS = struct.pack("<8e", *range(8))
"""Two tokens of width four: 0 to 7 in float16."""


def draft_identity(**changes: Any) -> bytes:
    """A valid identity of `IDENTITY_TOKENS`, with arguments of `draft_gguf` replaced."""
    parts: dict[str, Any] = {
        "metadata": IDENTITY_METADATA,
        "tensors": [gguf_tensor("pulid_id", (4, 2), F16, 0)],
        "data": IDENTITY_TOKENS,
    }
    return draft_gguf(**(parts | changes))
