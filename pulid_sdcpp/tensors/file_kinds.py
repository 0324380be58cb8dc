"""Which model a file of tensors holds, told by the names of its tensors.

The names are those stable-diffusion.cpp itself decides by (`ModelLoader::get_sd_version`),
and those of the files people confuse with them.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ModelFileError
from ..system.file_signature import SIGNATURE_BYTES, signature
from .file_bytes import FileBytes
from .file_header import read_header
from .lora_names import KINDS_OF_ADAPTERS
from .sdxl_pulid_names import PUBLISHED_FORM, RENAMED_FORM, original_names, weights_version
from .tensor_header import TensorHeader, TensorInfo
from .unet_kinds import UNET, unet_kind
from .weight_forms import USE_INSTEAD, quantized_form

__all__ = ["ModelKind", "classify", "find_tensor", "what_is", "zip_kind"]

IDENTITY_TENSOR = "pulid_id"
CLIP_L_WIDTH = 768
T5_XXL_WIDTH = 4096
FLUX_LATENT_CHANNELS = 16


@dataclass(frozen=True)
class ModelKind:
    """A kind of file.

    Attributes:
        kind: Short name for programs: "flux", "pulid-flux", "vae", ...
        words: The same for people, with an article: "PuLID weights for Flux", ...
    """

    kind: str
    words: str


_LORA = re.compile(
    r"[._]lora[._](down|up|A|B|mid)\b|[._]lora_(A|B)\.|\.hada_w1_a$|\.lokr_w1(_a)?$|\.lora_linear"
    # Not what the engine applies; they are refused as what they are.
    r"|[._]lora_[AB]$|\.oft_|_lora\d?\.(down|up)\.|\.diff(_b)?$"
)

# In this order; the first kind one of whose tensors is there is the answer.
_BY_NAME: tuple[tuple[str, str, str], ...] = (
    ("pulid-flux", "PuLID weights for Flux", r"^pulid_ca\.\d+\."),
    ("pulid-sdxl", "PuLID weights for SDXL", f"{PUBLISHED_FORM}|{RENAMED_FORM}"),
    ("ip-adapter", "an IP-Adapter, which is not PuLID", r"^ip_adapter\.\d+\.to_k_ip\.weight$"),
    ("pulid-encoder", "PuLID's encoder without its attention layers", r"^pulid_encoder\."),
    (
        "controlnet",
        "a ControlNet",
        r"(^|\.)controlnet_(blocks|x_embedder|down_blocks|cond_embedding)\."
        r"|^(control_model\.)?input_hint_block\.",
    ),
    ("chroma", "a Chroma model, which PuLID-Flux does not fit", r"distilled_guidance_layer\."),
    (
        "flux2",
        "a FLUX.2 model, which PuLID-Flux does not fit",
        r"(^|\.)double_stream_modulation_img\.",
    ),
    (
        "ovis-image",
        "an Ovis-Image model, which PuLID-Flux does not fit",
        r"double_blocks\.0\.img_mlp\.gate_proj\.",
    ),
    ("flux", "a Flux model", r"(^|\.)double_blocks\.\d+\.img_attn\.qkv\.weight$"),
    (
        "flux-diffusers",
        "a Flux model in the diffusers layout",
        r"(^|\.)single_transformer_blocks\.",
    ),
    ("sd3", "a Stable Diffusion 3 model", r"(^|\.)joint_blocks\."),
    ("qwen-image", "a Qwen-Image model", r"(^|\.)transformer_blocks\.0\.img_mod\.1\.weight$"),
    ("z-image", "a Z-Image model", r"(^|\.)cap_embedder\.0\.weight$"),
    ("wan", "a Wan video model", r"(^|\.)blocks\.0\.cross_attn\.norm_k\.weight$"),
    (
        "unet",
        UNET,
        r"(^|\.)(input_blocks\.0\.0|down_blocks\.0\.resnets\.0\.time_emb_proj)\.weight$",
    ),
    ("tae", "a tiny autoencoder (TAESD family)", r"(^|\.)decoder\.layers\.0\.weight$"),
    ("vae", "an autoencoder (VAE)", r"(^|\.)decoder\.conv_in\.weight$"),
    ("eva-clip", "an EVA-CLIP vision model", r"(^|\.)blocks\.0\.attn\.(q_bias|q_proj\.weight)$"),
    ("clip-vision", "a CLIP vision model", r"(^|\.)vision_model\.embeddings\."),
    ("llm", "a language model", r"(^|\.)(layers\.0\.self_attn\.q_proj|blk\.0\.attn_q)\.weight$"),
)
_COMPILED = tuple((kind, words, re.compile(pattern)) for kind, words, pattern in _BY_NAME)

_CLIP_EMBEDDING = re.compile(r"(^|\.)text_model\.embeddings\.token_embedding\.weight$")
_T5_EMBEDDING = re.compile(r"(^|\.)(shared|token_embd)\.weight$")
_T5_BLOCK = re.compile(
    r"(^|\.)(encoder\.block\.0\.layer\.0\.SelfAttention\.q|enc\.blk\.0\.attn_q)\.weight$"
)


def classify(header: TensorHeader) -> ModelKind:
    """Tell what a file holds from its header."""
    form = quantized_form(header.tensors)
    if form is not None:
        found = _model_kind(header)
        words = "a model" if found.kind == "unknown-tensors" else found.words
        words = words.removesuffix(" in the diffusers layout")
        return ModelKind(
            "quantized", f"{words} {form}, which the engine cannot read ({USE_INSTEAD})"
        )
    if IDENTITY_TENSOR in header.tensors:
        return ModelKind("identity", "an identity file")
    if any(_LORA.search(name) for name in header.tensors):
        return ModelKind("lora", "a LoRA")
    found = _model_kind(header)
    if found.kind == "unknown-tensors":
        for name in header.tensors:
            if any(pattern.search(name) for pattern, _ in KINDS_OF_ADAPTERS):
                return ModelKind("lora", "a LoRA")
    return found


def _model_kind(header: TensorHeader) -> ModelKind:
    names = list(header.tensors)
    for kind, words, pattern in _COMPILED[:-3]:
        if any(pattern.search(name) for name in names):
            return _told_further(header, kind, words, pattern)
    embedding = find_tensor(header, _CLIP_EMBEDDING)
    if embedding is not None:
        return _sized_clip(embedding)
    if find_tensor(header, _T5_BLOCK) is not None:
        return _sized_t5(find_tensor(header, _T5_EMBEDDING))
    for kind, words, pattern in _COMPILED[-3:]:
        if any(pattern.search(name) for name in names):
            return ModelKind(kind, words)
    return ModelKind("unknown-tensors", "tensors of an unknown model")


def find_tensor(header: TensorHeader, pattern: str | re.Pattern[str]) -> TensorInfo | None:
    """The first tensor whose name `pattern` occurs in."""
    compiled = re.compile(pattern)
    return next((info for name, info in header.tensors.items() if compiled.search(name)), None)


def what_is(path: str | os.PathLike[str]) -> str:
    """Words for what a file is, for the error that refuses it. Never raises."""
    try:
        with FileBytes(path) as buffer:
            head = buffer[:SIGNATURE_BYTES]
            found = signature(head)
            if found in ("a gguf file", "a safetensors file"):
                header = read_header(buffer, os.fspath(path))
                return f"{classify(header).words} ({header.format})"
    except ModelFileError:
        return "a damaged file"
    return zip_kind(path).words if head.startswith(b"PK") else found


def zip_kind(path: str | os.PathLike[str]) -> ModelKind:
    """Tell a torch checkpoint from other zip archives by its list of files; nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names: Iterable[str] = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return ModelKind("damaged-zip", "a damaged zip archive")
    if any(name.endswith("data.pkl") for name in names):
        return ModelKind("torch-checkpoint", "a torch checkpoint")
    return ModelKind("zip", "a zip archive")


def _told_further(
    header: TensorHeader, kind: str, words: str, pattern: re.Pattern[str]
) -> ModelKind:
    """Versions of one kind, and autoencoders: of those, the latent channels tell Flux's."""
    if kind == "unet":
        return ModelKind(*unet_kind(header.tensors))
    if kind == "pulid-sdxl":
        version = weights_version(original_names(header.tensors))
        return ModelKind(kind, f"{words} ({version})" if version else words)
    if kind in ("vae", "tae"):
        info = find_tensor(header, pattern)
        channels = info.shape[1] if info is not None and len(info.shape) == 4 else 0
        if channels == FLUX_LATENT_CHANNELS:
            words = (
                "a Flux autoencoder (VAE)" if kind == "vae" else "a tiny Flux autoencoder (TAEF1)"
            )
        elif channels:
            words = f"{words} with {channels} latent channels"
    return ModelKind(kind, words)


def _sized_clip(embedding: TensorInfo) -> ModelKind:
    width = embedding.shape[-1] if embedding.shape else 0
    if width == CLIP_L_WIDTH:
        return ModelKind("clip-l", "a CLIP-L text encoder")
    if width == 1280:
        return ModelKind("clip-g", "a CLIP-G text encoder")
    return ModelKind("clip-text", f"a CLIP text encoder of width {width}")


def _sized_t5(embedding: TensorInfo | None) -> ModelKind:
    if embedding is None or len(embedding.shape) != 2:
        return ModelKind("t5", "a T5 text encoder without its embedding")
    vocabulary, width = embedding.shape
    if width == T5_XXL_WIDTH and vocabulary > 200_000:
        return ModelKind("umt5xxl", "a UMT5-XXL text encoder")
    if width == T5_XXL_WIDTH:
        return ModelKind("t5xxl", "a T5-XXL text encoder")
    return ModelKind("t5", f"a T5 text encoder of width {width}")
