"""Bytes that the engine's weights take, told from the headers of their files.

Of a file that is not here yet, a list of its tensors stands in for the header.

The engine keeps most tensors as the file has them, but not all: see `_held_type`.

Source: stable-diffusion.cpp, `init_params` of Linear, Conv2d, Embedding and the norms
(ggml_extend.hpp, clip.hpp, t5.hpp), `ModelLoader::tensor_should_be_converted` (model.cpp).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from ..families.flux.layout import HEAD_DIM, flux_info, flux_layout
from ..families.flux.pulid_weights import HEAD_DIM as PULID_HEAD_DIM
from ..families.flux.pulid_weights import PulidWeights
from ..families.sdxl.folding import slot_rows
from ..families.sdxl.pulid_weights import SdxlPulidWeights
from ..families.sdxl.unet_layout import UnetInfo, unet_info, unet_layout
from ..families.sdxl.unet_shapes import UnetSizes
from ..identity.encoder import SDXL_V1_TOKENS
from ..identity.identity_file import ID_TOKENS
from ..model_files.description import describe_file
from ..options.context import ContextOptions
from ..options.name_pattern import NamePattern
from ..tensors.file_kinds import classify
from ..tensors.gguf_header import GGML_TYPES
from ..tensors.scaled_weights import is_companion
from ..tensors.sdxl_pulid_names import weights_version
from ..tensors.tensor_header import TensorHeader, TensorInfo

__all__ = [
    "TENSOR_OVERHEAD_BYTES",
    "Layouts",
    "ModelSizes",
    "decoder_channels",
    "model_sizes",
    "row_bytes",
]

Layouts = Mapping[str, Sequence[TensorInfo]]
"""Tensors of files that are not here, by the field of `ContextOptions` that would name the file."""

TENSOR_OVERHEAD_BYTES = 128
"""A tensor begins at a multiple of this on every device, so that many bytes at most are lost."""

_TYPES = {name: (block, size) for name, block, size in GGML_TYPES.values()}
_ROWS_READABLE = {"f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"}
"""Types in which rows are looked up (`support_get_rows`); an embedding of another becomes F32."""
_NOT_CONVERTED = re.compile(
    r"\.bias$|\.scale$|img_in\.|txt_in\.|time_in\.|vector_in\.|guidance_in\.|final_layer\."
    r"|time_embed\.|label_emb\.|embedding"
)
_UNUSED = re.compile(r"(^|\.)encoder\.embed_tokens\.weight$")
"""T5's embedding once more, which the engine leaves out (model.cpp, `unused_tensors`)."""
_FIRST = re.compile(r"(^|\.)decoder\.conv_in\.weight$")
_DECODER_CHANNELS = 128  # of Flux's autoencoder, where the file does not say it
_BLOCK = re.compile(
    r"(double_blocks|single_blocks|encoder\.block|enc\.blk|input_blocks|output_blocks)\.\d+\."
    r"|middle_block\."
)
_ALWAYS_F32 = re.compile(r"position(al)?_embedding|text_projection")
_EMBEDDING = re.compile(
    r"(token_embedding|(^|\.)shared|token_embd|relative_attention_bias|rel_b)\."
)
_PARTS = {
    "vae": re.compile(r"^(first_stage_model|vae)\."),
    "clip": re.compile(r"(clip_l|conditioner\.embedders\.0)\."),
    "clip_g": re.compile(r"(clip_g|conditioner\.embedders\.1)\."),
    "t5": re.compile(r"t5xxl\."),
    "diffusion": re.compile(r"^model\.diffusion_model\."),
}
"""Names of an all-in-one checkpoint, by module."""


@dataclass(frozen=True)
class ModelSizes:
    """What a set of model files needs, as far as the files say. All sizes in bytes.

    Attributes:
        hidden: Width of the diffusion model; of a UNet, of its second level.
        diffusion: Its weights.
        diffusion_segment: The largest part of them that one segment of a graph cut needs.
        largest_matrix: Elements of its largest matrix.
        identity: One identity, folded into the layers; 0 without PuLID weights.
        identity_rows: Rows of one layer's folded matrix: heads times identity tokens; of a UNet,
            rows of a head's keys.
        clip: Weights of CLIP-L.
        t5: Weights of T5; 0: none is given.
        t5_segment: As `diffusion_segment`.
        decoder, encoder: The two halves of the autoencoder.
        decoder_channels: Its narrowest width, 128 in the published one.
        tiny: It is a tiny autoencoder (TAEF1).
        clip_g: Weights of CLIP-G; 0: none is given.
        unet: Sizes of SDXL's UNet; None: it is a Flux.
    """

    hidden: int
    diffusion: int
    diffusion_segment: int
    largest_matrix: int
    identity: int
    identity_rows: int
    clip: int
    t5: int
    t5_segment: int
    decoder: int
    encoder: int
    decoder_channels: int
    tiny: bool
    clip_g: int = 0
    unet: UnetSizes | None = None

    @property
    def heads(self) -> int:
        return self.hidden // HEAD_DIM


def model_sizes(
    context: ContextOptions, layouts: Layouts | None = None, id_tokens: int = 0
) -> ModelSizes:
    """Read the headers of the files that `context` names.

    Args:
        layouts: Of those of them that are not here.
        id_tokens: Of the largest identity, with a UNet; 0: as many as one photo makes.

    Raises:
        ModelFileError: A file is missing, damaged or not what it is given as.
    """
    rules = _Rules(context.wtype, context.tensor_type_rules)
    layouts = layouts or {}
    tensors = _tensors(context, layouts)
    diffusion = {t.name: rules.held_bytes(t, "diffusion") for t in tensors["diffusion"]}
    clip, clip_g, t5 = (
        {t.name: rules.held_bytes(t, part) for t in tensors[part]}
        for part in ("clip", "clip_g", "t5")
    )
    unet = _unet(context, layouts)
    vae = {t.name: rules.held_bytes(t, "vae") for t in tensors["vae"]}
    encoder = sum(size for name, size in vae.items() if re.search(r"(^|\.)encoder\.", name))
    weights = layouts.get("pulid_weights", ())
    if unet is None:
        hidden = _hidden_size(context, layouts.get("diffusion_model_path", ()))
        identity, rows = _identity(context, weights)
    else:
        hidden = unet.sizes.widths[1]
        identity, rows = _unet_identity(context, unet, weights, id_tokens)
    return ModelSizes(
        hidden=hidden,
        diffusion=sum(diffusion.values()),
        diffusion_segment=_largest_segment(diffusion),
        largest_matrix=max(
            (prod(t.shape) for t in tensors["diffusion"] if len(t.shape) == 2), default=0
        ),
        identity=identity,
        identity_rows=rows,
        clip=sum(clip.values()),
        t5=sum(t5.values()),
        t5_segment=_largest_segment(t5),
        decoder=sum(vae.values()) - encoder,
        encoder=0 if context.vae_decode_only else encoder,
        decoder_channels=decoder_channels(tensors["vae"]) or _DECODER_CHANNELS,
        tiny=context.decodes_tiny,
        clip_g=sum(clip_g.values()),
        unet=None if unet is None else unet.sizes,
    )


def row_bytes(dtype: str, elements: int) -> int:
    """Bytes of `elements` numbers of a type; whole blocks are counted."""
    block, size = _TYPES.get(dtype, (1, 2))  # the 8-bit floats of safetensors become F16
    return -(-elements // block) * size


def _hidden_size(context: ContextOptions, layout: Sequence[TensorInfo]) -> int:
    source = str(context.diffusion_model_path or context.model_path or "")
    if not layout:
        return flux_info(source).hidden_size
    return _hidden_size_of(tuple(layout), source)


# A table of presets plans with the same published layouts again and again.
@lru_cache(maxsize=64)
def _hidden_size_of(layout: tuple[TensorInfo, ...], source: str) -> int:
    return flux_layout(_header_of(layout), source).hidden_size


@lru_cache(maxsize=64)
def _unet_of(layout: tuple[TensorInfo, ...], source: str) -> UnetInfo | None:
    header = _header_of(layout)
    return unet_layout(header, source) if classify(header).kind == "sdxl" else None


def _header_of(layout: Iterable[TensorInfo]) -> TensorHeader:
    return TensorHeader("gguf", {tensor.name: tensor for tensor in layout})


def _tensors(context: ContextOptions, layouts: Layouts) -> dict[str, list[TensorInfo]]:
    """By module; a separate file goes before the same module of a full checkpoint."""
    found: dict[str, list[TensorInfo]] = {part: [] for part in _PARTS}
    if context.model_path is not None:
        whole = layouts.get("model_path")
        for tensor in _weights(context.model_path) if whole is None else _of_engine(whole):
            for part, pattern in _PARTS.items():
                if pattern.search(tensor.name):
                    found[part].append(tensor)
                    break
        if not found["diffusion"]:  # a diffusion model alone, given as a full one
            found["diffusion"] = _weights(context.model_path)
    vae = "taesd_path" if context.decodes_tiny else "vae_path"
    fields = {
        "diffusion": "diffusion_model_path",
        "clip": "clip_l_path",
        "clip_g": "clip_g_path",
        "t5": "t5xxl_path",
        "vae": vae,
    }
    for part, name in fields.items():
        path = getattr(context, name)
        if path is not None:
            found[part] = _of_engine(layouts[name]) if name in layouts else _weights(path)
    return found


def _weights(path: str | os.PathLike[str]) -> list[TensorInfo]:
    return _of_engine(describe_file(path).tensors)


def _of_engine(listed: Iterable[TensorInfo]) -> list[TensorInfo]:
    """Those that the engine loads."""
    tensors = {tensor.name: tensor for tensor in listed if not _UNUSED.search(tensor.name)}
    return [tensor for name, tensor in tensors.items() if not is_companion(name, tensors)]


class _Rules:
    """Which type a tensor has in memory."""

    def __init__(self, wtype: str, rules: str) -> None:
        self._wtype = "" if wtype == "default" else wtype.lower()
        self._rules = [
            (NamePattern(pattern), dtype.lower())
            for pattern, _, dtype in (
                rule.partition("=") for rule in filter(None, rules.split(","))
            )
        ]

    def held_bytes(self, tensor: TensorInfo, part: str) -> int:
        dtype = self._held_type(tensor, part)
        return row_bytes(dtype, tensor.n_elements) + TENSOR_OVERHEAD_BYTES

    def _held_type(self, tensor: TensorInfo, part: str) -> str:
        name, shape = tensor.name, tensor.shape
        if len(shape) == 4:
            return "f16"  # convolutions are, whatever the file has
        if len(shape) < 2 or _ALWAYS_F32.search(name):
            return "f32"  # biases and norms
        dtype = self._converted(tensor, part)
        if _EMBEDDING.search(name):
            return dtype if dtype in _ROWS_READABLE else "f32"
        return dtype if shape[-1] % _TYPES.get(dtype, (1, 2))[0] == 0 else "f32"

    def _converted(self, tensor: TensorInfo, part: str) -> str:
        full_name = f"{_PREFIXES[part]}{tensor.name}"
        wanted = next((d for pattern, d in self._rules if pattern.found_in(full_name)), self._wtype)
        if not wanted or _NOT_CONVERTED.search(tensor.name):
            return tensor.dtype
        block, _ = _TYPES[wanted]
        return tensor.dtype if tensor.shape[-1] % block else wanted


_PREFIXES = {
    "diffusion": "model.diffusion_model.",
    "clip": "text_encoders.clip_l.",
    "clip_g": "text_encoders.clip_g.",
    "t5": "text_encoders.t5xxl.",
    "vae": "first_stage_model.",
}
"""What the engine's names begin with, for `tensor_type_rules`."""


def _largest_segment(sizes: dict[str, int]) -> int:
    """The largest block, or what stands outside the blocks."""
    groups: dict[str, int] = defaultdict(int)
    for name, size in sizes.items():
        block = _BLOCK.search(name)
        groups[block[0] if block else ""] += size
    return max(groups.values(), default=0)


def _identity(context: ContextOptions, layout: Sequence[TensorInfo]) -> tuple[int, int]:
    """Bytes of one identity in the layout of native/src/pulid_flux_identity.hpp, and its rows."""
    if context.pulid_weights is None:
        return 0, 0
    if layout:
        queries = [tensor.shape for tensor in layout if tensor.name.endswith(".to_q.weight")]
        inner, hidden = queries[0]
        return _identity_bytes(context, len(queries), hidden, inner // PULID_HEAD_DIM * ID_TOKENS)
    with PulidWeights(context.pulid_weights) as weights:
        latents = "pulid_encoder.latents"
        tokens = int(weights.file.shape(latents)[-2]) if latents in weights.file else ID_TOKENS
        rows = weights.heads * tokens
        return _identity_bytes(context, weights.n_layers, weights.hidden_size, rows)


def _unet(context: ContextOptions, layouts: Layouts) -> UnetInfo | None:
    """SDXL's UNet; None: it is another model."""
    field = "diffusion_model_path" if context.diffusion_model_path is not None else "model_path"
    source = str(getattr(context, field) or "")
    if field in layouts:
        return _unet_of(tuple(layouts[field]), source)
    return unet_info(source) if describe_file(source).kind == "sdxl" else None


def _unet_identity(
    context: ContextOptions, unet: UnetInfo, layout: Sequence[TensorInfo], tokens: int
) -> tuple[int, int]:
    """Bytes of one identity as keys and values of each head, and its rows of keys.

    Several photos of a person make more tokens than one with v1's weights.
    """
    if context.pulid_weights is None:
        return 0, 0
    if layout:
        version = weights_version([tensor.name for tensor in layout])
        widths = [layer.width for layer in unet.layers]
    else:
        with SdxlPulidWeights(context.pulid_weights) as weights:
            version, widths = weights.version, list(weights.widths.values())
    rows = slot_rows(tokens or (SDXL_V1_TOKENS if version == "v1" else ID_TOKENS))
    matrices = (row_bytes(context.pulid_dtype, width * rows) for width in widths)
    return sum(2 * (size + TENSOR_OVERHEAD_BYTES) for size in matrices), rows


def _identity_bytes(
    context: ContextOptions, layers: int, hidden: int, rows: int
) -> tuple[int, int]:
    matrices = 2 * row_bytes(context.pulid_dtype, hidden * rows)
    layer = matrices + row_bytes("f32", rows) + 3 * TENSOR_OVERHEAD_BYTES
    return layers * layer, rows


def decoder_channels(tensors: Iterable[TensorInfo]) -> int:
    """A quarter of the width that an autoencoder's decoder begins with; 0: it has none."""
    rows: Iterator[int] = (t.shape[0] for t in tensors if _FIRST.search(t.name) and t.shape)
    return next(rows, 0) // 4
