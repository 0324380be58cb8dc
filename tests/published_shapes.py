"""Headers of the published files at their true sizes, without their data.

Tensors are holes, so that a file of gigabytes takes a few hundred kilobytes on disk: enough to
plan with, and on a machine with the memory, to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.memory.parameters import ModelSizes
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standin.flux import FluxShape, flux_tensors

HIDDEN = 3072
DEPTH, DEPTH_SINGLE = 19, 38
PULID_LAYERS = 20

PUBLISHED_SIZES = ModelSizes(
    hidden=3072,
    diffusion=6_777_000_000,
    diffusion_segment=191_000_000,
    largest_matrix=66_000_000,
    identity=126_000_000,
    identity_rows=512,
    clip=246_000_000,
    t5=9_525_000_000,
    t5_segment=386_000_000,
    decoder=99_000_000,
    encoder=0,
    decoder_channels=128,
    tiny=False,
)
"""Of Flux in Q4_0, T5 in F16 and the decoder, rounded; read from headers in
test_parameter_memory.py."""


def write_flux(
    path: Path,
    dtype: str = "q4_0",
    *,
    depth: int = DEPTH,
    depth_single: int = DEPTH_SINGLE,
    hidden: int = HIDDEN,
) -> Path:
    """A Flux as the published quantizations store it: the blocks in `dtype`, the rest in f16."""
    shape = FluxShape(depth, depth_single, hidden)
    tensors = [replace(spec, values=None) for spec in flux_tensors(shape, 0, dtype)]
    write_gguf(path, tensors, {"general.architecture": "flux"})
    return path


def write_pulid(path: Path, layers: int = PULID_LAYERS, hidden: int = HIDDEN) -> Path:
    """PuLID's identity layers, 16 heads of 128 on tokens of width 2048, bf16."""
    sizes = {
        "norm1.weight": (2048,),
        "norm1.bias": (2048,),
        "norm2.weight": (hidden,),
        "norm2.bias": (hidden,),
        "to_q.weight": (2048, hidden),
        "to_kv.weight": (4096, 2048),
        "to_out.weight": (hidden, 2048),
    }
    write_safetensors(
        path,
        [
            TensorSpec(f"pulid_ca.{layer}.{name}", shape, "bf16")
            for layer in range(layers)
            for name, shape in sizes.items()
        ],
    )
    return path


def write_t5(path: Path, dtype: str = "f16") -> Path:
    """T5-XXL's encoder; gguf for a quantized `dtype`."""
    tensors = list(_t5(dtype))
    if path.suffix == ".gguf":
        write_gguf(path, tensors, {"general.architecture": "t5encoder"})
    else:
        write_safetensors(path, tensors)
    return path


def _t5(dtype: str) -> Iterator[TensorSpec]:
    width, feed = 4096, 10240
    yield TensorSpec("shared.weight", (32128, width), dtype)
    for block in range(24):
        layers = f"encoder.block.{block}.layer"
        for part in "qkvo":
            yield TensorSpec(f"{layers}.0.SelfAttention.{part}.weight", (width, width), dtype)
        if not block:
            name = f"{layers}.0.SelfAttention.relative_attention_bias.weight"
            yield TensorSpec(name, (32, 64), "f16")
        yield TensorSpec(f"{layers}.0.layer_norm.weight", (width,), "f32")
        for part in ("wi_0", "wi_1"):
            yield TensorSpec(f"{layers}.1.DenseReluDense.{part}.weight", (feed, width), dtype)
        yield TensorSpec(f"{layers}.1.DenseReluDense.wo.weight", (width, feed), dtype)
        yield TensorSpec(f"{layers}.1.layer_norm.weight", (width,), "f32")
    yield TensorSpec("encoder.final_layer_norm.weight", (width,), "f32")


def write_clip_l(path: Path) -> Path:
    """CLIP-L's text encoder, f16."""
    write_safetensors(path, list(_clip_l()))
    return path


def _clip_l() -> Iterator[TensorSpec]:
    width = 768
    embeddings = "text_model.embeddings"
    yield TensorSpec(f"{embeddings}.token_embedding.weight", (49408, width), "f16")
    yield TensorSpec(f"{embeddings}.position_embedding.weight", (77, width), "f16")
    for layer in range(12):
        name = f"text_model.encoder.layers.{layer}"
        matrices = [(f"self_attn.{part}_proj", width, width) for part in ("q", "k", "v", "out")]
        matrices += [("mlp.fc1", 4 * width, width), ("mlp.fc2", width, 4 * width)]
        for part, rows, columns in matrices:
            yield TensorSpec(f"{name}.{part}.weight", (rows, columns), "f16")
            yield TensorSpec(f"{name}.{part}.bias", (rows,), "f16")
        for norm in ("layer_norm1", "layer_norm2"):
            yield TensorSpec(f"{name}.{norm}.weight", (width,), "f16")
            yield TensorSpec(f"{name}.{norm}.bias", (width,), "f16")
    for part in ("weight", "bias"):
        yield TensorSpec(f"text_model.final_layer_norm.{part}", (width,), "f16")


def write_autoencoder(path: Path, dtype: str = "f32") -> Path:
    """Flux's autoencoder with both halves, 128 to 512 channels."""
    write_safetensors(path, [*_encoder(dtype), *_decoder(dtype)])
    return path


def _encoder(dtype: str) -> Iterator[TensorSpec]:
    yield from _conv("encoder.conv_in", 128, 3, 3, dtype)
    width = 128
    for level, factor in enumerate((1, 2, 4, 4)):
        for block in range(2):
            yield from _block(f"encoder.down.{level}.block.{block}", 128 * factor, width, dtype)
            width = 128 * factor
        if level < 3:
            yield from _conv(f"encoder.down.{level}.downsample.conv", width, width, 3, dtype)
    yield from _middle("encoder", width, dtype)
    yield from _norm("encoder.norm_out", width, dtype)
    yield from _conv("encoder.conv_out", 32, width, 3, dtype)


def _decoder(dtype: str) -> Iterator[TensorSpec]:
    width = 512
    yield from _conv("decoder.conv_in", width, 16, 3, dtype)
    yield from _middle("decoder", width, dtype)
    for level, factor in reversed(list(enumerate((1, 2, 4, 4)))):
        for block in range(3):
            yield from _block(f"decoder.up.{level}.block.{block}", 128 * factor, width, dtype)
            width = 128 * factor
        if level:
            yield from _conv(f"decoder.up.{level}.upsample.conv", width, width, 3, dtype)
    yield from _norm("decoder.norm_out", width, dtype)
    yield from _conv("decoder.conv_out", 3, width, 3, dtype)


def _middle(half: str, width: int, dtype: str) -> Iterator[TensorSpec]:
    yield from _block(f"{half}.mid.block_1", width, width, dtype)
    yield from _norm(f"{half}.mid.attn_1.norm", width, dtype)
    for part in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{half}.mid.attn_1.{part}", width, width, 1, dtype)
    yield from _block(f"{half}.mid.block_2", width, width, dtype)


def _block(name: str, rows: int, columns: int, dtype: str) -> Iterator[TensorSpec]:
    yield from _norm(f"{name}.norm1", columns, dtype)
    yield from _conv(f"{name}.conv1", rows, columns, 3, dtype)
    yield from _norm(f"{name}.norm2", rows, dtype)
    yield from _conv(f"{name}.conv2", rows, rows, 3, dtype)
    if rows != columns:
        yield from _conv(f"{name}.nin_shortcut", rows, columns, 1, dtype)


def _norm(name: str, width: int, dtype: str) -> Iterator[TensorSpec]:
    yield TensorSpec(f"{name}.weight", (width,), dtype)
    yield TensorSpec(f"{name}.bias", (width,), dtype)


def _conv(name: str, rows: int, columns: int, size: int, dtype: str) -> Iterator[TensorSpec]:
    yield TensorSpec(f"{name}.weight", (rows, columns, size, size), dtype)
    yield TensorSpec(f"{name}.bias", (rows,), dtype)


def write_sdxl_unet(path: Path, dtype: str = "f16") -> Path:
    """SDXL's UNet alone, under the names of its checkpoints."""
    shapes = unet_tensor_shapes(UnetSizes())
    write_safetensors(path, [TensorSpec(name, shape, dtype) for name, shape in shapes])
    return path


def write_sdxl_pulid(
    path: Path, version: str, dtype: str, names: Callable[[str], str] = str
) -> Path:
    """PuLID's weights for SDXL with their encoder.

    Args:
        version: "v1" or "v1.1".
        dtype: Published are v1 in f32 (renamed: f16), v1.1 in f16.
        names: What the tensors are called, from the published name.
    """
    encoder = _sdxl_mlp_encoder() if version == "v1" else _sdxl_idformer()
    tensors = [(f"id_adapter.{name}", shape) for name, shape in encoder]
    tensors += list(_sdxl_adapter())
    write_safetensors(path, [TensorSpec(names(name), shape, dtype) for name, shape in tensors])
    return path


_Shapes = Iterator[tuple[str, tuple[int, ...]]]


def _sdxl_adapter() -> _Shapes:
    """70 layers, down, up, middle; written out, not computed as the package does."""
    widths = [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10
    for number, width in enumerate(widths):
        for part in "kv":
            yield f"id_adapter_attn_layers.{2 * number + 1}.id_to_{part}.weight", (width, 2048)


def _sdxl_mlp(name: str, inputs: int, outputs: int) -> _Shapes:
    for number, shape in ((0, (1024, inputs)), (3, (1024, 1024)), (6, (outputs, 1024))):
        yield f"{name}.{number}.weight", shape
        yield f"{name}.{number}.bias", shape[:1]
    for number in (1, 4):
        yield f"{name}.{number}.weight", (1024,)
        yield f"{name}.{number}.bias", (1024,)


def _sdxl_mlp_encoder() -> _Shapes:
    yield from _sdxl_mlp("body", 1280, 5 * 2048)
    for depth in range(5):
        yield from _sdxl_mlp(f"mapping_{depth}", 1024, 2048)
        yield from _sdxl_mlp(f"mapping_patch_{depth}", 1024, 2048)


def _sdxl_idformer() -> _Shapes:
    width = 1024
    yield "latents", (1, 32, width)
    yield "proj_out", (width, 2048)
    for layer in range(10):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            yield f"layers.{layer}.{norm}.weight", (width,)
            yield f"layers.{layer}.{norm}.bias", (width,)
        for part, rows, columns in (
            *(("0.to_q", width, width), ("0.to_kv", 2 * width, width), ("0.to_out", width, width)),
            *(("1.1", 4 * width, width), ("1.3", width, 4 * width)),
        ):
            yield f"layers.{layer}.{part}.weight", (rows, columns)
    for depth in range(5):
        yield from _sdxl_mlp(f"mapping_{depth}", width, width)
    yield from _sdxl_mlp("id_embedding_mapping", 1280, 5 * width)
