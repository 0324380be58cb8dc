"""Say what a file is from its header, and refuse wrong files before the engine sees them.

Only headers are read: a 12 GB file takes milliseconds. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelFileError, PulidError
from ..families.flux.layout import FluxInfo, check_diffusion_model, flux_info, flux_layout
from ..families.sdxl.unet_layout import unet_layout
from ..system.file_signature import SIGNATURE_BYTES, signature
from ..tensors.file_bytes import FileBytes
from ..tensors.file_header import read_header
from ..tensors.file_kinds import ModelKind, classify, find_tensor, zip_kind
from ..tensors.gguf_header import OmittedArray
from ..tensors.scaled_weights import is_scale
from ..tensors.tensor_header import TensorHeader, TensorInfo
from ..tensors.weight_forms import part_named, part_of
from ..terminal_text import counted, quoted
from .lora_family import FAMILY_WORDS, lora_family
from .sdxl_description import describe_sdxl, describe_sdxl_pulid

__all__ = [
    "FileInfo",
    "FluxInfo",
    "TensorInfo",
    "check_diffusion_model",
    "check_lora",
    "check_tae",
    "check_text_encoder",
    "check_vae",
    "describe_file",
    "flux_info",
    "is_full_checkpoint",
    "lora_header",
]

LATENT_CHANNELS = 16
"""Of Flux; SDXL has 4."""
MAX_DETAIL_LENGTH = 200
_A_LORA = "a LoRA"

_TEXT_ENCODERS = {
    "clip-l": (
        "a CLIP-L text encoder",
        (49408, 768),
        r"text_model\.embeddings\.token_embedding\.weight$",
        r"encoder\.layers\.11\.mlp\.fc2\.weight$",
    ),
    "t5xxl": (
        "a T5-XXL text encoder",
        (32128, 4096),
        r"(^|\.)(shared|token_embd)\.weight$",
        r"block\.23\.layer\.1\.DenseReluDense\.wo\.weight$|blk\.23\.ffn_down\.weight$",
    ),
    "clip-g": (
        "a CLIP-G text encoder",
        (49408, 1280),
        r"text_model\.embeddings\.token_embedding\.weight$",
        r"text_projection(\.weight)?$",
    ),
}
"""By kind: words, shape and name of the embedding (both fixed in the engine), last layer."""
_AUTOENCODERS = {
    ("vae", 16): "a Flux autoencoder (VAE)",
    ("tae", 16): "a tiny Flux autoencoder (TAEF1)",
    ("vae", 4): "an SDXL autoencoder (VAE)",
    ("tae", 4): "a tiny SDXL autoencoder (TAESDXL)",
}
"""By kind and latent channels."""

_TEXT_PARTS = {
    "CLIP-L": r"clip_l\.|^conditioner\.embedders\.0\.|^cond_stage_model\.(transformer|model)\.",
    "CLIP-G": r"clip_g\.|^conditioner\.embedders\.1\.|^cond_stage_model\.1\.",
    "T5": r"t5xxl\.",
}
_OTHER_PARTS = {
    "an autoencoder": r"^(first_stage_model|vae)\.",
    **_TEXT_PARTS,
    "PuLID's encoder": r"^pulid_encoder\.",
}
"""Of files that hold a model: words and the names of tensors."""


@dataclass(frozen=True)
class FileInfo:
    """What a file is.

    Attributes:
        kind: "identity", "pulid-flux", "pulid-sdxl", "flux", "sdxl", "clip-l", "clip-g", "t5xxl",
            "vae", "tae", "lora", "eva-clip", "unknown-tensors", "torch-checkpoint", "onnx", ...
            (names of other models that the engine knows).
        path: The file.
        format: "gguf", "safetensors", "torch" or "onnx".
        size_bytes: Size of the file.
        tensors: Name, row-major shape and element type of each tensor, in file order; empty for
            formats that are not opened.
        metadata: As in the file, with text made safe for a terminal.
        summary: One line for people.
        details: More facts for people, by label: depth, width, hash, ...
    """

    kind: str
    path: str
    format: str
    size_bytes: int
    tensors: tuple[TensorInfo, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    summary: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


def describe_file(path: str | os.PathLike[str]) -> FileInfo:
    """Find out what a file is: an identity, weights, a model, a LoRA.

    Raises:
        ModelFileError: The file is missing, a folder, empty, damaged, or not a model file.
        IdentityFileError: It is a damaged identity file.
    """
    source = os.fspath(path)
    with FileBytes(path) as buffer:
        size = len(buffer)
        head = buffer[:SIGNATURE_BYTES]
        if not head.startswith(b"PK"):
            found = signature(head)
            if found.startswith("a pickle"):
                return _unopened(source, "torch-checkpoint", "torch", size, "torch checkpoint")
            if found == "an ONNX model":
                return _unopened(source, "onnx", "onnx", size, "onnx model")
            header = read_header(buffer, source)
            with part_named(path):
                return _describe_tensors(source, header)
    kind = zip_kind(path)
    if kind.kind != "torch-checkpoint":
        raise ModelFileError(f"{source}: expected a model file, found {kind.words}")
    return _unopened(source, kind.kind, "torch", size, "torch checkpoint")


def is_full_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file has a model's text encoders beside it; False if it cannot be read."""
    try:
        names = "\n".join(tensor.name for tensor in describe_file(path).tensors)
    except PulidError:
        return False
    return any(re.search(pattern, names, re.MULTILINE) for pattern in _TEXT_PARTS.values())


def check_text_encoder(path: str | os.PathLike[str], kind: str) -> None:
    """Make sure that a file is the text encoder it is given as.

    Args:
        path: The file.
        kind: "clip-l", "clip-g" or "t5xxl".

    Raises:
        ModelFileError: Missing, damaged, another kind of file, or of another size.
    """
    if kind not in _TEXT_ENCODERS:
        raise ValueError(f"text encoder: expected one of {sorted(_TEXT_ENCODERS)}, found {kind!r}")
    with part_named(path):
        _check_text_encoder(path, kind)


def _check_text_encoder(path: str | os.PathLike[str], kind: str) -> None:
    what, expected, embedding, last = _TEXT_ENCODERS[kind]
    source, header, found = _checked_kind(path, what, (kind,))
    if header is None:
        return
    info = find_tensor(header, embedding)
    if info is None or info.shape != expected:
        raise ModelFileError(
            f"{source}: expected {what} with an embedding of shape {expected},"
            f" found {None if info is None else info.shape}"
        )
    if find_tensor(header, last) is None:
        raise ModelFileError(f"{source}: incomplete: the last layer of {found.words} is missing")


def check_vae(path: str | os.PathLike[str], latent_channels: int = LATENT_CHANNELS) -> None:
    """Make sure that a file is an autoencoder for Flux, or for SDXL.

    Args:
        path: The file.
        latent_channels: 16 for Flux, 4 for SDXL.

    Raises:
        ModelFileError: Missing, damaged, another kind of file, or another model's autoencoder.
    """
    names = (r"(^|\.)decoder\.conv_in\.weight$", r"(^|\.)decoder\.conv_out\.")
    _check_autoencoder(path, "vae", latent_channels, *names)


def check_tae(path: str | os.PathLike[str], latent_channels: int = LATENT_CHANNELS) -> None:
    """Make sure that a file is a tiny autoencoder for Flux (TAEF1), or for SDXL (TAESDXL).

    Args:
        path: The file.
        latent_channels: 16 for Flux, 4 for SDXL.

    Raises:
        ModelFileError: Missing, damaged, another kind of file, or another model's autoencoder.
    """
    names = (r"(^|\.)decoder\.layers\.0\.weight$", r"(^|\.)decoder\.layers\.18\.weight$")
    _check_autoencoder(path, "tae", latent_channels, *names)


def check_lora(path: str | os.PathLike[str]) -> None:
    """Make sure that a file is a LoRA.

    Raises:
        ModelFileError: Missing, damaged or another kind of file.
    """
    _checked_kind(path, _A_LORA, ("lora",))


def lora_header(content: FileBytes, source: str) -> TensorHeader | None:
    """The header of an open file that must be a LoRA.

    Returns:
        None for a torch checkpoint, which is not opened.

    Raises:
        ModelFileError: As `check_lora`.
    """
    header = _header_of(content, source)
    if header is not None:
        _check_kind(header, source, _A_LORA, ("lora",))
    return header


def _check_autoencoder(
    path: str | os.PathLike[str], kind: str, latent_channels: int, first: str, last: str
) -> None:
    what = _AUTOENCODERS[kind, latent_channels]
    source, header, found = _checked_kind(path, what, (kind,))
    if header is None:
        return
    info = find_tensor(header, first)
    if info is None or len(info.shape) != 4 or info.shape[1] != latent_channels:
        raise ModelFileError(f"{source}: expected {what}, found {found.words}")
    if find_tensor(header, last) is None:
        raise ModelFileError(f"{source}: incomplete: the last layer of {what} is missing")


def _checked_kind(
    path: str | os.PathLike[str], what: str, kinds: tuple[str, ...]
) -> tuple[str, TensorHeader | None, ModelKind]:
    """The header of a file that must be of one of `kinds`; None for one that is not opened.

    The engine also reads torch checkpoints, so those pass unseen.
    """
    source = os.fspath(path)
    with FileBytes(path, what) as buffer:
        head = buffer[:SIGNATURE_BYTES]
        if (header := _header_of(buffer, source)) is not None:
            return source, header, _check_kind(header, source, what, kinds)
    if head.startswith(b"PK") and (found := zip_kind(path)).kind != "torch-checkpoint":
        raise ModelFileError(f"{source}: expected {what}, found {found.words}")
    return source, None, ModelKind("torch-checkpoint", "a torch checkpoint")


def _header_of(buffer: FileBytes, source: str) -> TensorHeader | None:
    """None: it is a torch checkpoint, or what else is packed as one, and not opened."""
    head = buffer[:SIGNATURE_BYTES]
    if head.startswith(b"PK") or signature(head).startswith("a pickle"):
        return None
    return read_header(buffer, source)


def _check_kind(header: TensorHeader, source: str, what: str, kinds: tuple[str, ...]) -> ModelKind:
    found = classify(header)
    if found.kind not in kinds:
        words = found.words
        if found.kind == "unknown-tensors" and header.tensors:
            words += f": {quoted(next(iter(header.tensors)))}, ..."
        raise ModelFileError(f"{source}: expected {what}, found {words}")
    return found


def _unopened(source: str, kind: str, file_format: str, size: int, words: str) -> FileInfo:
    return FileInfo(kind, source, file_format, size, summary=f"{words} (not opened)")


def _describe_tensors(source: str, header: TensorHeader) -> FileInfo:
    kind = classify(header)
    summary, details = kind.words, dict[str, Any]()
    if kind.kind == "identity":
        summary, details = _describe_identity(source)
    elif kind.kind in ("flux", "flux-diffusers"):
        summary, details = _describe_flux(flux_layout(header, source), kind)
    elif kind.kind == "pulid-flux":
        summary, details = _describe_pulid(source)
    elif kind.kind == "sdxl":
        summary, details = describe_sdxl(unet_layout(header, source), kind.words)
    elif kind.kind == "pulid-sdxl":
        summary, details = describe_sdxl_pulid(source)
    elif kind.kind == "lora":
        details = _describe_lora(header)
    parts = _other_parts(header, kind.kind)
    if parts:
        details["also holds"] = ", ".join(parts)
    if part := part_of(source):
        details["by its name"] = part
    scaled = sum(map(is_scale, header.tensors))
    if scaled:
        details["weights with a scale"] = scaled
    details["tensors"] = len(header.tensors)
    details["parameters"] = sum(info.n_elements for info in header.tensors.values())
    counts = Counter(info.dtype for info in header.tensors.values())
    details["types"] = ", ".join(f"{dtype} x {count}" for dtype, count in counts.most_common())
    return FileInfo(
        kind=kind.kind,
        path=source,
        format=header.format,
        size_bytes=header.size_bytes,
        tensors=tuple(header.tensors.values()),
        metadata={str(_shown(key)): _shown(value) for key, value in header.metadata.items()},
        summary=summary,
        details=details,
    )


def _describe_identity(source: str) -> tuple[str, dict[str, Any]]:
    from ..identity.encoder import encoder_words
    from ..identity.identity_file import Identity

    identity = Identity.load(source)
    summary = (
        f"an identity of {counted(identity.n_tokens, 'token')} of width {identity.dim}"
        f" in {identity.dtype.upper()}, hash {identity.short_hash}, made by "
        f"{encoder_words(identity.encoder)}"
    )
    return summary, {
        "encoder": identity.encoder,
        "hash": identity.short_hash,
        "sha256": identity.sha256,
        "shape": (identity.n_tokens, identity.dim),
        "unconditional identity": identity.uncond_tokens is not None,
    }


def _describe_flux(info: FluxInfo, kind: ModelKind) -> tuple[str, dict[str, Any]]:
    flavour = "guidance-distilled (dev)" if info.guidance_embed else "without guidance (schnell)"
    variant = f" {info.variant}" if info.variant else ""
    summary = (
        f"{kind.words}{variant}, {flavour}: {info.depth} double and {info.depth_single} single"
        f" blocks of width {info.hidden_size}"
    )
    return summary, {
        "double blocks": info.depth,
        "single blocks": info.depth_single,
        "width": info.hidden_size,
        "head width": info.head_dim,
        "guidance embedding": info.guidance_embed,
        "input channels": info.in_channels,
        "CLIP width": info.vec_in_dim,
        "T5 width": info.context_in_dim,
    }


def _describe_pulid(source: str) -> tuple[str, dict[str, Any]]:
    from ..families.flux.pulid_weights import PulidWeights

    with PulidWeights(source) as weights:
        encoder = any(name.startswith("pulid_encoder.") for name in weights.file.names())
        summary = (
            f"PuLID weights for a Flux of width {weights.hidden_size}: {weights.n_layers} identity"
            f" layers of {weights.heads} heads" + ("" if encoder else ", without the encoder")
        )
        return summary, {
            "identity layers": weights.n_layers,
            "width": weights.hidden_size,
            "heads": weights.heads,
            "identity token width": weights.id_dim,
            "encoder": encoder,
        }


def _describe_lora(header: TensorHeader) -> dict[str, Any]:
    ranks = Counter(
        info.shape[0]
        for name, info in header.tensors.items()
        if re.search(r"lora[._](down|A)\b", name) and len(info.shape) >= 2
    )
    family = lora_family(header)
    return {
        "ranks": ", ".join(str(rank) for rank in sorted(ranks)) or "unknown",
        "made for": FAMILY_WORDS[family] if family else "another model, or text encoders only",
    }


def _other_parts(header: TensorHeader, kind: str) -> list[str]:
    """What an all-in-one checkpoint holds beside its diffusion model."""
    if kind not in ("flux", "unet", "sdxl", "sd3", "pulid-flux"):
        return []
    return [name for name, found in _OTHER_PARTS.items() if find_tensor(header, found) is not None]


def _shown(value: object) -> object:
    """Metadata fit for a terminal: control characters escaped, long text cut."""
    if isinstance(value, str):
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape", "replace").decode()
            for char in value[: MAX_DETAIL_LENGTH + 1]
        )
        return text if len(value) <= MAX_DETAIL_LENGTH else text[:MAX_DETAIL_LENGTH] + "…"
    if isinstance(value, OmittedArray):
        return f"{value.length} x {value.type}"
    if isinstance(value, tuple):
        return tuple(_shown(item) for item in value)
    return value
