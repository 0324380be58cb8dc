"""Which parameters a picture's text names, and how they are read back.

One table says the name of each option, in AUTOMATIC1111's or Forge's words where they
have one. What only places the work (threads, memory, offloading) is not written; what can
change the last bits of a picture (backend, flash attention) is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .options import ContextOptions, GenerationOptions, IdentityOptions
from .png_text import PictureText

__all__ = ["describe_picture", "generation_options_from", "identity_values_from"]


@dataclass(frozen=True)
class _Entry:
    """One option in the text. Written when it is not the default, or always."""

    key: str
    option: str
    write: Callable[[Any], str] = str
    read: Callable[[str], Any] = str
    always: bool = False


def _write_float(value: float) -> str:
    return repr(float(value))


def _read_size(text: str) -> tuple[int, int]:
    x, _, y = text.partition("x")
    return int(x), int(y)


def _read_parts(text: str) -> tuple[float, float]:
    x, _, y = text.partition("x")
    return float(x), float(y)


def _write_list(values: Sequence[float]) -> str:
    return " ".join(_write_float(value) for value in values)


def _read_list(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in text.split())


def _read_bool(text: str) -> bool:
    return text == "True"


def _named(names: Mapping[str, str]) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Writer and reader for names that other programs spell in their own way."""
    back = {shown: name for name, shown in names.items()}
    return (lambda name: names.get(name, name)), (lambda shown: back.get(shown, shown))


# Spellings of AUTOMATIC1111's lists, for the names it has; the others keep the engine's.
_write_sampler, _read_sampler = _named(
    {
        "euler": "Euler",
        "euler_a": "Euler a",
        "heun": "Heun",
        "dpm2": "DPM2",
        "dpm++2s_a": "DPM++ 2S a",
        "dpm++2m": "DPM++ 2M",
        "lcm": "LCM",
    }
)
_write_schedule, _read_schedule = _named(
    {
        "karras": "Karras",
        "exponential": "Exponential",
        "sgm_uniform": "SGM Uniform",
        "simple": "Simple",
        "kl_optimal": "KL Optimal",
        "ays": "Align Your Steps",
    }
)

_GENERATION = (
    _Entry("Steps", "steps", str, int, always=True),
    _Entry("Sampler", "sampling_method", _write_sampler, _read_sampler, always=True),
    _Entry("Schedule type", "scheduler", _write_schedule, _read_schedule),
    _Entry("CFG scale", "cfg_scale", _write_float, float, always=True),
    _Entry("Distilled CFG Scale", "guidance", _write_float, float, always=True),
    _Entry("Eta", "eta", _write_float, float),
    _Entry("Clip skip", "clip_skip", str, int),
    _Entry("Sigmas", "sigmas", _write_list, _read_list),
    _Entry("Flow shift", "flow_shift", _write_float, float),
    _Entry("Resize ref image", "auto_resize_ref_image", str, _read_bool),
    _Entry("Increase ref index", "increase_ref_index", str, _read_bool),
    _Entry("VAE tiling", "vae_tiling", str, _read_bool),
    _Entry("VAE tile size", "vae_tile_size", lambda v: f"{v[0]}x{v[1]}", _read_size),
    _Entry("VAE tile overlap", "vae_tile_overlap", _write_float, float),
    _Entry(
        "VAE relative tile size", "vae_relative_tile_size", lambda v: f"{v[0]}x{v[1]}", _read_parts
    ),
)
_CONTEXT = (
    _Entry("VAE", "vae_path", lambda path: Path(path).name),
    _Entry("TAESD", "taesd_path", lambda path: Path(path).name),
    _Entry("CLIP-L", "clip_l_path", lambda path: Path(path).name),
    _Entry("T5XXL", "t5xxl_path", lambda path: Path(path).name),
    _Entry("Weight type", "wtype"),
    _Entry("Tensor type rules", "tensor_type_rules"),
    _Entry("PuLID type", "pulid_dtype"),
    _Entry("RNG", "rng_type"),
    _Entry("Sampler RNG", "sampler_rng_type"),
    _Entry("LoRA apply mode", "lora_apply_mode"),
    _Entry("Circular x", "circular_x"),
    _Entry("Circular y", "circular_y"),
    _Entry("Flash attention", "flash_attn"),
    _Entry("Diffusion flash attention", "diffusion_flash_attn"),
    _Entry("Diffusion conv direct", "diffusion_conv_direct"),
    _Entry("VAE conv direct", "vae_conv_direct"),
    _Entry("Backend", "backend"),
)
_IDENTITY = (
    _Entry("PuLID weight", "weight", _write_float, float, always=True),
    _Entry("PuLID start step", "start_step", str, int, always=True),
    _Entry("PuLID end step", "end_step", str, int),
)


def describe_picture(
    context: ContextOptions,
    generation: GenerationOptions,
    identity: IdentityOptions | None = None,
    *,
    index: int = 0,
    identity_hash: str = "",
    image_names: Mapping[str, Sequence[str | os.PathLike[str]]] | None = None,
    version: str = "",
) -> PictureText:
    """The text of picture `index` of a batch: everything needed to make it again.

    Args:
        context, generation, identity: The options; the seed must be fixed.
        index: Number of the picture in its batch, from 0.
        identity_hash: `Identity.short_hash`, when an identity is used.
        image_names: Files of the images in `generation`, under "init", "mask" and "ref".
        version: Of this package.
    """
    values: dict[str, str] = {}
    values.update(_write(_GENERATION[:5], generation))
    values["Seed"] = str(generation.seeds[index])
    values["Size"] = f"{generation.width}x{generation.height}"
    model = context.diffusion_model_path or context.model_path
    values["Model"] = Path(model or "").stem
    values.update(_write(_GENERATION[5:], generation))
    names = image_names or {}
    for role, label in (("init", "Init image"), ("mask", "Mask image"), ("ref", "Ref image")):
        for number, path in enumerate(names.get(role, ()), start=1):
            key = f"{label} {number}" if role == "ref" else label
            values[key] = Path(path).name
            values[f"{key} hash"] = _short_hash(path)
    if generation.init_image is not None:
        values["Denoising strength"] = _write_float(generation.strength)
    values.update(_write(_CONTEXT, context))
    if identity is not None and identity.embedding is not None:
        values["PuLID identity"] = identity_hash
        values.update(_write(_IDENTITY, identity))
        values["PuLID weights"] = Path(context.pulid_weights or "").name
    if identity is not None and identity.cfg_start_step is not None:
        values["CFG start step"] = str(identity.cfg_start_step)
    values["Version"] = f"pulid-sdcpp {version}".strip()
    return PictureText(generation.prompt, generation.negative_prompt, values)


def generation_options_from(text: PictureText) -> GenerationOptions:
    """The options that a picture's text names; what it does not name has its default.

    Images that the picture started from are not in the text, only their names are.

    Raises:
        ValueError: A value that is not what its name promises.
    """
    options: dict[str, Any] = _read(_GENERATION, text.values)
    values = text.values
    try:
        if "Size" in values:
            options["width"], options["height"] = _read_size(values["Size"])
        if "Seed" in values:
            options["seed"] = int(values["Seed"])
        if "Denoising strength" in values:
            options["strength"] = float(values["Denoising strength"])
    except ValueError as error:
        raise ValueError(f"the picture's text is damaged: {error}") from None
    return GenerationOptions(text.prompt, text.negative_prompt, **options)


def identity_values_from(text: PictureText) -> dict[str, Any]:
    """The arguments of `IdentityOptions`, less the embedding, that a picture's text names.

    Raises:
        ValueError: A value that is not what its name promises.
    """
    values = _read(_IDENTITY, text.values)
    if "CFG start step" in text.values:
        values |= _read((_Entry("CFG start step", "cfg_start_step", str, int),), text.values)
    return values


def _write(entries: Sequence[_Entry], options: object) -> dict[str, str]:
    defaults = {field.name: field.default for field in fields(options)}  # type: ignore[arg-type]
    written = {}
    for entry in entries:
        value = getattr(options, entry.option)
        if entry.always or (value != defaults[entry.option] and not _is_empty(value)):
            written[entry.key] = entry.write(value)
    return written


def _read(entries: Sequence[_Entry], values: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for entry in entries:
        if entry.key in values:
            try:
                found[entry.option] = entry.read(values[entry.key])
            except ValueError:
                raise ValueError(
                    f"the picture's text is damaged: {entry.key} is {values[entry.key]!r}"
                ) from None
    return found


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [])


def _short_hash(path: str | os.PathLike[str]) -> str:
    """The first ten hex digits of a file's SHA-256, as web UIs shorten hashes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:10]
