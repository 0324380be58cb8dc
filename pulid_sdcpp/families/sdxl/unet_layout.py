"""The shape of an SDXL model's UNet, read from its header, and whether the engine can run it.

The engine takes a checkpoint (names begin with "model.diffusion_model."), a UNet alone (the same
names without that), or a folder of the diffusers library. Models that look like SDXL and have
other blocks, text widths or sizes are refused here, by name.

Source: stable-diffusion.cpp, `UnetModelBlock` (unet.hpp) and `ModelLoader::get_sd_version`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...errors import Message, ModelFileError, named
from ...tensors.expected_tensors import check_expected_tensors
from ...tensors.file_bytes import FileBytes
from ...tensors.file_header import read_header
from ...tensors.file_kinds import classify
from ...tensors.scaled_weights import is_companion, is_scale
from ...tensors.tensor_header import TensorHeader, TensorInfo
from ...tensors.unet_kinds import SDXL_CONTEXT_WIDTH, SDXL_LABEL_WIDTH
from ...tensors.weight_forms import part_named
from ...terminal_text import quoted
from .attention_layers import UnetAttentionLayer, unet_attention_layers
from .diffusers_names import original_unet_name
from .unet_shapes import UnetSizes, unet_tensor_shapes

__all__ = [
    "DIFFUSERS_UNET",
    "UnetInfo",
    "check_unet",
    "published_sdxl_unet",
    "unet_info",
    "unet_layout",
]

DIFFUSERS_UNET = os.path.join("unet", "diffusion_pytorch_model.safetensors")
"""Where a diffusers folder has its UNet."""
VARIANTS = {4: "", 9: "inpainting", 8: "edits"}
"""Input channels by which the engine tells the members of the family."""
CHANNEL_STEP = 32
"""GroupNorm has 32 groups, and heads of 64 divide twice the first level's channels."""
MAX_DEPTH = 100
_AN_SDXL = "an SDXL model"
_PREFIX = "model.diffusion_model."
_OF_UNET = re.compile(r"(input_blocks|output_blocks|middle_block|time_embed|label_emb|out)\.")
_FIRST = ("input_blocks.0.0.weight", "conv_in.weight")
_ANYWHERE = re.compile(r"(.+\.)input_blocks\.0\.0\.weight$")
_VELOCITY = re.compile(r"(^|\.)v_pred$")
_BLOCKS = "{}.1.transformer_blocks."
_DEPTHS_OF = ("input_blocks.4", "input_blocks.7")


@dataclass(frozen=True)
class UnetInfo:
    """The sizes of an SDXL model's UNet.

    Attributes:
        path: The file or folder.
        sizes: Channels, depths and widths.
        layers: Its cross-attentions in the order of PuLID's numbers.
        dtypes: How many of its tensors have which element type.
        diffusers: Whether the tensors have the names of the diffusers library.
        predicts_velocity: Whether a tensor named v_pred says that it predicts velocities, and
            not noise.
    """

    path: str
    sizes: UnetSizes
    layers: tuple[UnetAttentionLayer, ...]
    dtypes: Mapping[str, int] = field(default_factory=dict)
    diffusers: bool = False
    predicts_velocity: bool = False

    @property
    def variant(self) -> str:
        """ "" for text to image, else "inpainting" or "edits"."""
        channels = self.sizes.in_channels
        return VARIANTS.get(channels, f"{channels} channels")


def unet_info(path: str | os.PathLike[str]) -> UnetInfo:
    """Read the sizes of an SDXL model's UNet from its header.

    Args:
        path: A checkpoint, a UNet alone, or a diffusers folder.

    Raises:
        ModelFileError: Missing, damaged, or not an SDXL model; says what it is instead.
    """
    return _read(path, check=False)


def check_unet(path: str | os.PathLike[str]) -> UnetInfo:
    """Make sure that the engine can load and run an SDXL model's UNet.

    Args:
        path: A checkpoint, a UNet alone, or a diffusers folder.

    Raises:
        ModelFileError: As `unet_info`; or tensors missing, misshaped, that no SDXL has, or of
            sizes that the engine does not support.
    """
    return _read(path, check=True)


def _read(path: str | os.PathLike[str], check: bool) -> UnetInfo:
    source = os.fspath(path)
    is_folder = os.path.isdir(source)
    file = os.path.join(source, DIFFUSERS_UNET) if is_folder else source
    with FileBytes(file, _AN_SDXL) as buffer:
        header = read_header(buffer, file)
    with part_named(file):
        info = unet_layout(header, file)
        if check:
            _check(header, info, is_folder)
    return replace(info, path=source)


def unet_layout(header: TensorHeader, source: str) -> UnetInfo:
    """As `unet_info`, from the header of a file that was read already."""
    kind = classify(header)
    if kind.kind != "sdxl":
        raise ModelFileError(f"{source}: expected {_AN_SDXL}, found {kind.words}")
    tensors, diffusers = _unet_tensors(header, source)
    first = _shape(tensors, "input_blocks.0.0.weight", source)
    depths = [_count(tensors, block, source) for block in _DEPTHS_OF]
    text = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    sizes = UnetSizes(
        model_channels=first[0],
        depths=(depths[0], depths[1]),
        context_width=_shape(tensors, text, source)[1],
        adm_width=_shape(tensors, "label_emb.0.0.weight", source)[1],
        in_channels=first[1],
    )
    layers = unet_attention_layers({name: info.shape for name, info in tensors.items()})
    counts = Counter(info.dtype for info in tensors.values())
    velocity = any(_VELOCITY.search(name) for name in header.tensors)
    return UnetInfo(source, sizes, layers, dict(counts.most_common()), diffusers, velocity)


def published_sdxl_unet() -> UnetInfo:
    """The sizes of the published SDXL, of which no file is read."""
    sizes = UnetSizes()
    return UnetInfo("", sizes, unet_attention_layers(dict(unet_tensor_shapes(sizes))))


def _unet_tensors(header: TensorHeader, source: str) -> tuple[dict[str, TensorInfo], bool]:
    """The UNet's tensors by their original bare names; whether they had those of diffusers."""
    prefix = _prefix(header, source)
    tensors = {
        name.removeprefix(prefix): info
        for name, info in header.tensors.items()
        if name.startswith(prefix)
    }
    diffusers = "conv_in.weight" in tensors
    if diffusers:
        tensors = {original_unet_name(name): info for name, info in tensors.items()}
    for name, info in tensors.items():
        # As 1 x 1 convolutions in some files; the engine reads both.
        if name.endswith(("proj_in.weight", "proj_out.weight")) and info.shape[2:] == (1, 1):
            tensors[name] = replace(info, shape=info.shape[:2])
    return tensors, diffusers


def _prefix(header: TensorHeader, source: str) -> str:
    for prefix in (_PREFIX, "unet.", ""):
        if any(prefix + name in header.tensors for name in _FIRST):
            return prefix
    other = next((found[1] for name in header.tensors if (found := _ANYWHERE.match(name))), None)
    if other is None:
        raise ModelFileError(f"{source}: incomplete SDXL model: {_FIRST[0]} is missing")
    raise ModelFileError(
        f"{source}: an SDXL model whose tensors begin with {quoted(other)}, which the engine "
        f"does not know; write it again with names that begin with {_PREFIX!r} or with nothing"
    )


def _shape(tensors: Mapping[str, TensorInfo], name: str, source: str) -> tuple[int, ...]:
    if name not in tensors:
        raise ModelFileError(f"{source}: incomplete SDXL model: {name} is missing")
    shape = tensors[name].shape
    if len(shape) < 2 or 0 in shape:
        raise ModelFileError(f"{source}: expected {name} to be a matrix, found {shape}")
    return shape


def _count(tensors: Mapping[str, TensorInfo], block: str, source: str) -> int:
    """One more than the highest number of a transformer block, as the engine counts."""
    start = _BLOCKS.format(block)
    rests = (name[len(start) :] for name in tensors if name.startswith(start))
    numbers = [int(rest.partition(".")[0]) for rest in rests if rest[:1].isdecimal()]
    count = max(numbers, default=-1) + 1
    if not 0 < count <= MAX_DEPTH:
        raise ModelFileError(
            f"{source}: expected 1 to {MAX_DEPTH} transformer blocks in {block}.1, found {count}"
        )
    return count


def _check(header: TensorHeader, info: UnetInfo, is_folder: bool) -> None:
    sizes, source = info.sizes, info.path
    if info.diffusers and not is_folder:
        raise ModelFileError(
            Message(
                f"{source}: an SDXL model with the tensor names of diffusers, which the engine "
                f"loads only as a folder, given as {named('model_path')}; use that, a gguf, or the "
                "original single file (sd_xl_base_1.0.safetensors)"
            )
        )
    for what, found, expected in (
        ("text tokens of width", sizes.context_width, SDXL_CONTEXT_WIDTH),
        ("a vector of width", sizes.adm_width, SDXL_LABEL_WIDTH),
    ):
        if found != expected:
            raise ModelFileError(f"{source}: expected {what} {expected}, found {found}")
    if sizes.model_channels % CHANNEL_STEP:
        raise ModelFileError(
            f"{source}: expected channels that are a multiple of {CHANNEL_STEP}, found "
            f"{sizes.model_channels}"
        )
    if sizes.in_channels not in VARIANTS:
        raise ModelFileError(
            f"{source}: expected {' or '.join(map(str, VARIANTS))} input channels, found "
            f"{sizes.in_channels}"
        )
    tensors, _ = _unet_tensors(header, source)
    expected_shapes = dict(unet_tensor_shapes(sizes))
    check_expected_tensors(tensors, expected_shapes.items(), source, "SDXL model")
    others = [
        name
        for name in tensors
        if name not in expected_shapes
        and _OF_UNET.match(name)
        and not is_companion(name, tensors)
        and not is_scale(name)
    ]
    if others:
        raise ModelFileError(
            f"{source}: expected an SDXL model, found {quoted(others[0])}, which none has"
            f"{f' (and {len(others) - 1} more)' if len(others) > 1 else ''}; it is another model "
            "based on SDXL, or damaged"
        )
