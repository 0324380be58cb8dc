"""Which tensor of a file becomes which type when the engine converts it.

The engine quantizes some vectors (norms, T5's position table) that are a thousandth of a file
and cost quality; rules of ours keep them in F32. Everything else is its own decision, repeated
here so that the result can be checked, and what would end the process is refused.

Source: stable-diffusion.cpp, src/model.cpp (tensor_should_be_converted, is_unused_tensor),
src/convert.cpp, src/model_io/safetensors_io.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from ..errors import ModelFileError
from ..options.context import WEIGHT_TYPES
from ..options.name_pattern import NamePattern
from ..tensors.gguf_header import GGML_TYPES
from ..tensors.scaled_weights import is_companion
from ..tensors.tensor_header import TensorHeader, TensorInfo
from ..terminal_text import quoted

__all__ = ["CONVERSION_TYPES", "ConversionPlan", "plan_conversion", "squeezed"]

CONVERSION_TYPES = WEIGHT_TYPES[1:]
"""Those that can be asked for; WEIGHT_TYPES without "default"."""

_BLOCKS = {name: (elements, size) for name, elements, size in GGML_TYPES.values()}
_READ_AS = {"f64": "f32", "f8_e4m3": "f16", "f8_e5m2": "f16", "i64": "i32"}  # safetensors only
_READABLE = {
    "gguf": set(_BLOCKS) - {"i8", "i16", "i64", "f64", "q8_1", "q8_k"},
    "safetensors": {"f32", "f16", "bf16", "i32", *_READ_AS},
}
_LEFT_AS_IT_IS = re.compile(
    r"\.bias$|\.scale$|(img_in|txt_in|time_in|vector_in|guidance_in|final_layer|x_embedder"
    r"|t_embedder|y_embedder|context_embedder|time_embed|label_emb)\.|pos_embed|embedding"
)
_LEFT_OUT = (
    "text_encoders.t5xxl.transformer.encoder.embed_tokens.weight",
    "model_ema.",
    # In checkpoints of SDXL: tables of the schedule, and what only training needs.
    *("betas", "alphas_cumprod_prev", "sqrt_", "log_one_minus_alphas_cumprod", "posterior_"),
    *("denoiser.sigmas", "ztsnr", "edm_vpred.sigma_min", "embedding_manager"),
    "cond_stage_model.transformer.text_model.embeddings.position_ids",
    "cond_stage_model.1.model.text_model.embeddings.position_ids",
    "conditioner.embedders.0.transformer.text_model.embeddings.position_ids",
    "conditioner.embedders.0.model.logit_scale",
    "conditioner.embedders.1.model.logit_scale",
)
"""What the engine does not read; as `unused_tensors` of model.cpp."""
_TOKENIZERS = ("spiece_model",)  # in T5 files of ComfyUI; the engine has its own
_SMALL_MATRIX = re.compile(r"relative_attention_bias|attn_rel_b|\.latents$")
_MAX_NAME_BYTES = 127  # GGML_MAX_NAME less its end
_MAX_ELEMENTS = 2**31 - 1  # an int in the engine's convert_tensor
_POOL_RESERVE_BYTES = 1 << 19  # half of what the engine adds "for padding"


@dataclass(frozen=True)
class ConversionPlan:
    """What the engine is asked for, and what must come out.

    Attributes:
        types: Expected element type of each tensor of the result, by name.
        output_bytes: Size of their data.
        pool_type: The type the engine is given: it reserves memory by it.
        rules: The rules it is given; they make of each tensor what `types` says.
        idle_rules: Those of the user's that decide about no tensor.
        requantized: The quantized type of tensors that get another one; "": there is none.
    """

    types: Mapping[str, str]
    output_bytes: int
    pool_type: str
    rules: str
    idle_rules: tuple[str, ...] = ()
    requantized: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show: what may not be what was meant."""
        notes = [f"the rule {rule} decides about no tensor of INPUT" for rule in self.idle_rules]
        if self.requantized:
            notes.append(
                f"INPUT is quantized already ({self.requantized}), so more is lost than from a "
                "file in F16 or BF16"
            )
        return tuple(notes)


def plan_conversion(header: TensorHeader, path: str, wtype: str, rules: str) -> ConversionPlan:
    """Decide the type of every tensor.

    Args:
        header: Of the file to convert.
        path: Its name, for errors.
        wtype: One of CONVERSION_TYPES.
        rules: "PATTERN=TYPE,...", checked already; the first that fits a tensor counts.

    Raises:
        ModelFileError: A tensor that the engine cannot convert.
    """
    given = [rule.partition("=") for rule in filter(None, rules.split(","))]
    patterns = [(NamePattern(pattern), kind) for pattern, _, kind in given]
    kept: list[str] = []
    types: dict[str, str] = {}
    used: set[int] = set()
    requantized = ""
    for info in header.tensors.values():
        if info.name.startswith(_LEFT_OUT) or is_companion(info.name, header.tensors):
            continue
        if info.name in _TOKENIZERS and info.dtype == "u8":
            continue
        _check_tensor(info, path, header.format)
        fits = (number for number, (rule, _) in enumerate(patterns) if rule.found_in(info.name))
        wanted = None
        if (number := next(fits, None)) is not None:
            used.add(number)
            wanted = patterns[number][1]
        if wanted is None and _is_small(info):
            kept.append(info.name)
            wanted = "f32"
        types[info.name] = _converted_type(info, (wanted or wtype).lower())
        if info.dtype.startswith(("q", "iq", "tq")) and types[info.name] != info.dtype:
            requantized = requantized or info.dtype
    output_bytes = sum(_nbytes(header.tensors[name], kind) for name, kind in types.items())
    all_rules = [rule for rule in rules.split(",") if rule]
    if kept:
        all_rules.append(f"^({'|'.join(map(_escaped, kept))})$=f32")
    pool_type = _pool_type(header, types, wtype, output_bytes)
    if pool_type != wtype:
        all_rules.append(f".={wtype}")
    idle = ("=".join((given[n][0], given[n][2])) for n in range(len(given)) if n not in used)
    return ConversionPlan(
        types, output_bytes, pool_type, ",".join(all_rules), tuple(idle), requantized
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without leading ones, which gguf does not store."""
    first = next((index for index, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def _is_small(info: TensorInfo) -> bool:
    """Vectors, and tables that are as small: the engine would quantize them too."""
    is_vector = len(squeezed(info.shape)) < 2 or _SMALL_MATRIX.search(info.name)
    return (
        bool(is_vector)
        and not _LEFT_AS_IT_IS.search(info.name)
        and info.dtype[:2] in ("f1", "f3", "f6", "f8", "bf")
    )


def _converted_type(info: TensorInfo, wanted: str) -> str:
    source = _READ_AS.get(info.dtype, info.dtype)
    block = _BLOCKS[wanted][0]
    row = info.shape[-1] if info.shape else 1
    if row % block or _LEFT_AS_IT_IS.search(info.name):
        return source
    return wanted


def _check_tensor(info: TensorInfo, path: str, file_format: str) -> None:
    name = quoted(info.name)
    if info.dtype not in _READABLE[file_format]:
        raise ModelFileError(
            f"{path}: {name} is of type {info.dtype}, which the engine cannot convert; use a file "
            "in F16, BF16, F32 or a quantized type"
        )
    if info.dtype in ("i32", "i64") and not _LEFT_AS_IT_IS.search(info.name):
        raise ModelFileError(f"{path}: {name} holds whole numbers, which cannot be quantized")
    if not 0 < info.n_elements <= _MAX_ELEMENTS:
        raise ModelFileError(
            f"{path}: {name} has {info.n_elements} numbers; the engine converts 1 to 2^31 - 1"
        )
    if len(info.name.encode()) > _MAX_NAME_BYTES:
        raise ModelFileError(f"{path}: {name} has a longer name than the engine can write")


def _nbytes(info: TensorInfo, kind: str) -> int:
    elements, size = _BLOCKS[kind]
    return prod(info.shape) // elements * size


def _pool_type(header: TensorHeader, types: Mapping[str, str], wtype: str, needed: int) -> str:
    """The smallest type by which the engine reserves enough; it does not ask the rules."""

    def reserved(kind: str) -> int:
        infos = (header.tensors[name] for name in types)
        return sum(_nbytes(info, _converted_type(info, kind.lower())) for info in infos)

    larger = sorted((reserved(kind), kind) for kind in CONVERSION_TYPES if kind != wtype)
    candidates = [(reserved(wtype), wtype), *larger]
    return next(k for size, k in candidates if size + _POOL_RESERVE_BYTES >= needed)


def _escaped(name: str) -> str:
    """A name as a pattern; what could mean something in one, or in the list, fits anything."""
    return re.sub(r"[^\w-]", ".", name, flags=re.ASCII)
