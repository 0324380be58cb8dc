"""The shape of a Flux model, read from its header, and whether the engine can run it.

The engine divides by sizes it finds and asserts on others, which ends the process; so a
file is checked here before it gets there.

Source: names and shapes from black-forest-labs/flux, model.py and modules/layers.py; what
is fixed in the engine, from stable-diffusion.cpp's flux.hpp, clip.hpp and t5.hpp.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...errors import ModelFileError
from ...tensors.expected_tensors import check_expected_tensors
from ...tensors.file_bytes import FileBytes
from ...tensors.file_header import read_header
from ...tensors.file_kinds import CLIP_L_WIDTH, T5_XXL_WIDTH, classify
from ...tensors.scaled_weights import is_companion, is_scale
from ...tensors.tensor_header import TensorHeader, TensorInfo
from ...tensors.weight_forms import part_named
from ...terminal_text import quoted

__all__ = [
    "FluxInfo",
    "check_diffusion_model",
    "flux_info",
    "flux_layout",
    "flux_matrices",
    "flux_shapes",
    "published_flux",
]

HEAD_DIM = 128
"""The engine's rotary embedding is built for 16 + 56 + 56 = 128 and nothing else."""
TIME_DIM = 256
MLP_RATIO = 4
OUT_CHANNELS = 64
MAX_BLOCKS = 1024

VARIANTS = {64: "", 384: "Fill", 128: "Control", 196: "Flex.2"}
"""Input channels, after patching, by which the engine tells the members of the family."""

_PREFIX = "model.diffusion_model."
_BLOCK = re.compile(r"(.*?)double_blocks\.\d+\.img_attn\.qkv\.weight$")
_OF_FLUX = re.compile(
    r"(double_blocks|single_blocks|img_in|txt_in|time_in|vector_in|guidance_in|final_layer)\."
)
_OTHER_PARTS = re.compile(
    r"(first_stage_model|vae|tae|text_encoders?(_\d)?|te\d?|conditioner|cond_stage_model|clip_l|t5xxl"
    r"|model_ema|embedding_manager|pulid_ca|pulid_encoder)\."
)
"""Of a checkpoint that also holds something else, without a prefix before its Flux."""


@dataclass(frozen=True)
class FluxInfo:
    """The sizes of a Flux model.

    Attributes:
        path: The file.
        depth: Double blocks, 19 in the published models.
        depth_single: Single blocks, 38 in the published models.
        hidden_size: Width, 3072.
        head_dim: Width of an attention head, 128.
        guidance_embed: Distilled guidance (dev) or not (schnell).
        context_in_dim: Width of the T5 embedding, 4096.
        vec_in_dim: Width of the CLIP embedding, 768.
        in_channels: Channels of an image token, 64; more in Fill and Control models.
        dtypes: How many of its tensors have which element type.
        diffusers: Whether the tensors have the names of the diffusers library.
    """

    path: str
    depth: int
    depth_single: int
    hidden_size: int
    head_dim: int
    guidance_embed: bool
    context_in_dim: int
    vec_in_dim: int
    in_channels: int
    dtypes: Mapping[str, int] = field(default_factory=dict)
    diffusers: bool = False

    @property
    def variant(self) -> str:
        """ "" for text to image (and Kontext), else "Fill", "Control" or "Flex.2"."""
        return VARIANTS.get(self.in_channels, f"{self.in_channels} channels")


def flux_info(path: str | os.PathLike[str]) -> FluxInfo:
    """Read the sizes of a Flux model from its header.

    Raises:
        ModelFileError: Missing, damaged, or not a Flux model; says what it is instead.
    """
    source = os.fspath(path)
    with FileBytes(path, "a Flux model") as buffer:
        header = read_header(buffer, source)
    with part_named(path):
        return flux_layout(header, source)


def check_diffusion_model(path: str | os.PathLike[str]) -> FluxInfo:
    """Make sure that the engine can load and run a Flux model.

    Raises:
        ModelFileError: As `flux_info`; or tensors missing, misshaped, that no Flux has, or of
            sizes that the engine does not support.
    """
    source = os.fspath(path)
    with FileBytes(path, "a Flux model") as buffer:
        header = read_header(buffer, source)
    with part_named(path):
        return _checked(header, source)


def _checked(header: TensorHeader, source: str) -> FluxInfo:
    info = flux_layout(header, source)
    if info.diffusers:
        raise ModelFileError(
            f"{source}: a Flux model with the tensor names of diffusers, which the engine cannot"
            " load; use a gguf, or the original single file (flux1-dev.safetensors)"
        )
    for what, found, expected in (
        ("attention heads of width", info.head_dim, HEAD_DIM),
        ("a CLIP embedding of width", info.vec_in_dim, CLIP_L_WIDTH),
        ("a T5 embedding of width", info.context_in_dim, T5_XXL_WIDTH),
    ):
        if found != expected:
            raise ModelFileError(f"{source}: expected {what} {expected}, found {found}")
    if info.hidden_size % HEAD_DIM:
        raise ModelFileError(
            f"{source}: expected a width that is a multiple of {HEAD_DIM}, found {info.hidden_size}"
        )
    if info.in_channels not in VARIANTS:
        raise ModelFileError(
            f"{source}: expected {OUT_CHANNELS} input channels, found {info.in_channels}"
        )
    tensors = _flux_tensors(header, source)
    _check_tensors(tensors, info)
    _check_no_others(header, tensors, info)
    return info


def flux_layout(header: TensorHeader, source: str) -> FluxInfo:
    """As `flux_info`, from a header that was read already."""
    kind = classify(header)
    if kind.kind == "flux-diffusers":
        return _diffusers_layout(header, source)
    if kind.kind != "flux":
        raise ModelFileError(f"{source}: expected a Flux model, found {kind.words}")
    tensors = _flux_tensors(header, source)
    return FluxInfo(
        path=source,
        depth=_count(tensors, "double_blocks"),
        depth_single=_count(tensors, "single_blocks"),
        hidden_size=_matrix(tensors, "txt_in.weight", source)[0],
        head_dim=_vector(tensors, "double_blocks.0.img_attn.norm.query_norm.scale", source),
        guidance_embed="guidance_in.in_layer.weight" in tensors,
        context_in_dim=_matrix(tensors, "txt_in.weight", source)[1],
        vec_in_dim=_matrix(tensors, "vector_in.in_layer.weight", source)[1],
        in_channels=_matrix(tensors, "img_in.weight", source)[1],
        dtypes=_dtypes(tensors),
    )


def _diffusers_layout(header: TensorHeader, source: str) -> FluxInfo:
    tensors = {name.removeprefix("transformer."): info for name, info in header.tensors.items()}
    text = "time_text_embed.text_embedder.linear_1.weight"
    return FluxInfo(
        path=source,
        depth=_count(tensors, "transformer_blocks"),
        depth_single=_count(tensors, "single_transformer_blocks"),
        hidden_size=_matrix(tensors, "context_embedder.weight", source)[0],
        head_dim=_vector(tensors, "transformer_blocks.0.attn.norm_q.weight", source),
        guidance_embed="time_text_embed.guidance_embedder.linear_1.weight" in tensors,
        context_in_dim=_matrix(tensors, "context_embedder.weight", source)[1],
        vec_in_dim=_matrix(tensors, text, source)[1],
        in_channels=_matrix(tensors, "x_embedder.weight", source)[1],
        dtypes=_dtypes(tensors),
        diffusers=True,
    )


def _flux_tensors(header: TensorHeader, source: str) -> dict[str, TensorInfo]:
    """The diffusion model's tensors by their bare names; other parts of a checkpoint are left out.

    A file either has the prefix on all of them (an all-in-one checkpoint) or on none.
    """
    for name in header.tensors:
        found = _BLOCK.match(name)
        if found is not None and found[1] not in ("", _PREFIX):
            raise ModelFileError(
                f"{source}: a Flux model whose tensors begin with {quoted(found[1])}, which the"
                f" engine does not know; write it again with names that begin with {_PREFIX!r} or"
                " with nothing"
            )
    prefixed = {
        name.removeprefix(_PREFIX): info
        for name, info in header.tensors.items()
        if name.startswith(_PREFIX)
    }
    return prefixed or dict(header.tensors)


def _dtypes(tensors: Mapping[str, TensorInfo]) -> dict[str, int]:
    counts = Counter(info.dtype for info in tensors.values())
    return dict(counts.most_common())


def _count(tensors: Mapping[str, TensorInfo], family: str) -> int:
    """One more than the highest block number, as the engine counts."""
    pattern = re.compile(rf"{family}\.([0-9]{{1,9}})\.")
    numbers = (int(match[1]) for name in tensors if (match := pattern.match(name)))
    return max(numbers, default=-1) + 1


def _matrix(tensors: Mapping[str, TensorInfo], name: str, source: str) -> tuple[int, int]:
    shape = _shape(tensors, name, source)
    if len(shape) != 2:
        raise ModelFileError(f"{source}: expected {name} to be a matrix, found {shape}")
    return shape[0], shape[1]


def _vector(tensors: Mapping[str, TensorInfo], name: str, source: str) -> int:
    shape = _shape(tensors, name, source)
    if len(shape) != 1:
        raise ModelFileError(f"{source}: expected {name} to be a vector, found {shape}")
    return shape[0]


def _shape(tensors: Mapping[str, TensorInfo], name: str, source: str) -> tuple[int, ...]:
    if name not in tensors:
        raise ModelFileError(f"{source}: incomplete Flux model: {name} is missing")
    if 0 in tensors[name].shape:
        raise ModelFileError(f"{source}: incomplete Flux model: {name} is empty")
    return tensors[name].shape


def _check_tensors(tensors: Mapping[str, TensorInfo], info: FluxInfo) -> None:
    """Every tensor the engine will ask for is there, of the right shape and a readable type."""
    if info.depth > MAX_BLOCKS or info.depth_single > MAX_BLOCKS:
        raise ModelFileError(
            f"{info.path}: damaged Flux model: {info.depth} double and {info.depth_single} single"
            f" blocks (limit {MAX_BLOCKS})"
        )
    if not info.depth_single:
        raise ModelFileError(f"{info.path}: incomplete Flux model: it has no single blocks")
    check_expected_tensors(tensors, flux_shapes(info), info.path, "Flux model")


def _check_no_others(
    header: TensorHeader, tensors: Mapping[str, TensorInfo], info: FluxInfo
) -> None:
    """What Flux does not have, the engine would leave out: then the file is another model's."""
    for name in header.tensors:
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) in header.tensors:
            raise ModelFileError(
                f"{info.path}: damaged Flux model: {quoted(name.removeprefix(_PREFIX))} is in it"
                f" twice, with and without {_PREFIX!r}"
            )
    known = {name for name, _ in flux_shapes(info)}
    others = [
        name
        for name, tensor in tensors.items()
        if name not in known
        and not is_companion(name, tensors)
        and not is_scale(name)  # without its weight: see check_weight_scales
        and (_OF_FLUX.match(name) or (len(tensor.shape) > 1 and not _OTHER_PARTS.match(name)))
    ]
    if others:
        raise ModelFileError(
            f"{info.path}: expected a Flux model, found {quoted(others[0])}, which none has"
            f"{f' (and {len(others) - 1} more)' if len(others) > 1 else ''}; it is another model"
            " based on Flux, or damaged"
        )


def published_flux(*, guidance_embed: bool, in_channels: int = OUT_CHANNELS) -> FluxInfo:
    """The sizes of a published FLUX.1, of which no file is read.

    Args:
        guidance_embed: True for dev and what was made from it, False for schnell.
        in_channels: One of `VARIANTS`.
    """
    return FluxInfo(
        path="",
        depth=19,
        depth_single=38,
        hidden_size=3072,
        head_dim=HEAD_DIM,
        guidance_embed=guidance_embed,
        context_in_dim=T5_XXL_WIDTH,
        vec_in_dim=CLIP_L_WIDTH,
        in_channels=in_channels,
    )


def flux_shapes(info: FluxInfo) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor of a Flux model of these sizes, in no special order."""
    hidden, mlp = info.hidden_size, MLP_RATIO * info.hidden_size

    def linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (outputs, inputs)
        yield f"{name}.bias", (outputs,)

    def embedder(name: str, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from linear(f"{name}.in_layer", hidden, inputs)
        yield from linear(f"{name}.out_layer", hidden, hidden)

    def norms(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.query_norm.scale", (info.head_dim,)
        yield f"{name}.key_norm.scale", (info.head_dim,)

    yield from linear("img_in", hidden, info.in_channels)
    yield from linear("txt_in", hidden, info.context_in_dim)
    yield from embedder("time_in", TIME_DIM)
    yield from embedder("vector_in", info.vec_in_dim)
    if info.guidance_embed:
        yield from embedder("guidance_in", TIME_DIM)
    for index in range(info.depth):
        for stream in ("img", "txt"):
            block = f"double_blocks.{index}.{stream}"
            yield from linear(f"{block}_mod.lin", 6 * hidden, hidden)
            yield from linear(f"{block}_attn.qkv", 3 * hidden, hidden)
            yield from norms(f"{block}_attn.norm")
            yield from linear(f"{block}_attn.proj", hidden, hidden)
            yield from linear(f"{block}_mlp.0", mlp, hidden)
            yield from linear(f"{block}_mlp.2", hidden, mlp)
    for index in range(info.depth_single):
        block = f"single_blocks.{index}"
        yield from linear(f"{block}.linear1", 3 * hidden + mlp, hidden)
        yield from linear(f"{block}.linear2", hidden, hidden + mlp)
        yield from norms(f"{block}.norm")
        yield from linear(f"{block}.modulation.lin", 3 * hidden, hidden)
    yield from linear("final_layer.linear", OUT_CHANNELS, hidden)
    yield from linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden)


def flux_matrices(info: FluxInfo) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of every linear layer of a Flux model, by the layer's name."""
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for name, shape in flux_shapes(info)
        if name.endswith(".weight")
    }
