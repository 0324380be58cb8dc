"""Which parameters a picture's text names, and how they are read back.

The facts of the options say each one's name, in AUTOMATIC1111's or Forge's words where they have
one. What only places the work (threads, memory, offloading) has none and is not written; what can
change the last bits of a picture (backend, flash attention) is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from ..families.pulid_encoders import encoders_of_weights
from ..identity.identity_file import Identity
from ..model_files.model_family import is_sdxl_model
from ..options.context import ContextOptions
from ..options.former_schedule import former_default, has_former_schedule
from ..options.generation import GenerationOptions, with_checked
from ..options.identity_mode import has_identity_modes, identity_mode, identity_weight
from ..people.identity_options import IdentityOptions
from ..people.person import Person
from .model_hashes import FileHashes, write_hashes
from .people_text import describe_people
from .png_text import PictureText
from .text_entries import (
    FileUsed,
    describe_file_used,
    entries_of,
    read_entries,
    read_size,
    write_entries,
    write_float,
)

__all__ = [
    "CONTEXT_FIELDS",
    "PROGRAM",
    "SHEET",
    "context_values_from",
    "describe_picture",
    "file_names_from",
    "generation_options_from",
    "identity_values_from",
    "image_names_from",
    "picture_notes",
    "templates_from",
]

PROGRAM = "pulid-sdcpp"
"""How the version in a text of ours begins."""

# The orders of texts that are on users' disks; what is not named here comes behind.
_GENERATION = entries_of(
    GenerationOptions, ("steps", "sampling_method", "scheduler", "cfg_scale", "guidance")
)
_ALL_OF_CONTEXT = entries_of(
    ContextOptions,
    (
        *("wtype", "tensor_type_rules", "pulid_dtype", "rng_type", "sampler_rng_type"),
        *("lora_apply_mode", "circular_x", "circular_y", "flash_attn", "diffusion_flash_attn"),
        *("diffusion_conv_direct", "vae_conv_direct", "backend", "keep_clip_on_cpu"),
        *("keep_vae_on_cpu", "repack"),
    ),
)
# The model's name has no suffix, and that of PuLID's weights is there with a person only.
_ELSEWHERE = ("diffusion_model_path", "pulid_weights")
_ALL_FILES = [entry for entry in _ALL_OF_CONTEXT if entry.is_file]
_FILES = tuple(entry for entry in _ALL_FILES if entry.option not in _ELSEWHERE)
_OTHER_FILES = tuple(entry for entry in _ALL_FILES if entry.option in _ELSEWHERE)
_CONTEXT = tuple(entry for entry in _ALL_OF_CONTEXT if not entry.is_file)
CONTEXT_FIELDS = tuple(entry.option for entry in _CONTEXT)
"""Of `ContextOptions`: what can change pixels, less the files."""
_IDENTITY = entries_of(IdentityOptions)
(_CFG_START,) = (entry for entry in _IDENTITY if entry.option == "cfg_start_step")
_BEGINNING = 5  # entries before the seed and the size
SHEET = "Contact sheet"
"""Says of which command a sheet of many pictures is, whose text has what they have in common."""
_TEMPLATES = {"prompt": "Template", "negative_prompt": "Negative Template"}
"""As sd-dynamic-prompts calls them."""
_IMAGES = {
    "init": "Init image",
    "mask": "Mask image",
    "ref": "Ref image",
    "control": "Control image",
}


def describe_picture(
    context: ContextOptions,
    generation: GenerationOptions,
    identity: IdentityOptions | None = None,
    *,
    index: int = 0,
    identity_hash: str = "",
    image_names: Mapping[str, Sequence[str | os.PathLike[str] | FileUsed | None]] | None = None,
    hashes: FileHashes | None = None,
    templates: Mapping[str, str] | None = None,
    preset: str = "",
    version: str = "",
    default_scheduler: str = "flux",
) -> PictureText:
    """The text of picture `index` of a batch: everything needed to make it again.

    Args:
        context, generation, identity: The options; the seed must be fixed.
        index: Number of the picture in its batch, from 0.
        identity_hash: `Identity.short_hash`, of an identity that is given as a file.
        image_names: Files of the images in `generation`, under "init", "mask" and "ref", and of
            the masks of people, under "people", one each; None for what was in memory only.
        hashes: Of the model files and LoRAs.
        templates: What the prompts were before their choices were made, under "prompt" and
            "negative_prompt".
        preset: Name of the preset that the files in `context` come from.
        version: Of this package.
        default_scheduler: See `StableDiffusion.default_scheduler`; the name is written.
    """
    values: dict[str, str] = {}
    people = () if identity is None else identity.everybody
    encoders = encoders_of_weights(context.pulid_weights) if people else ()
    generation = generation.with_named_scheduler(default_scheduler)
    if any(map(has_identity_modes, encoders)):
        generation = _with_named_mode(generation, people, encoders)
    upscaler = _file_name(generation.hires_upscaler)
    generation = with_checked(generation, hires_upscaler=upscaler)
    beginning = _GENERATION[:_BEGINNING]
    if is_sdxl_model(vars(context)):  # it has no input for distilled guidance
        beginning = tuple(entry for entry in beginning if entry.option != "guidance")
    values.update(write_entries(beginning, generation))
    values["Seed"] = str(generation.seeds[index])
    values["Size"] = f"{generation.width}x{generation.height}"
    if preset:
        values["Preset"] = preset
    values["Model"] = Path(context.diffusion_model_path or context.model_path or "").stem
    values.update(write_entries(_GENERATION[_BEGINNING:], generation))
    names = image_names or {}
    for role, label in _IMAGES.items():
        for number, path in enumerate(names.get(role, ()), start=1):
            values.update(describe_file_used(_numbered(label, role, number), path))
    if generation.init_image is not None:
        values["Denoising strength"] = write_float(generation.strength)
    decoded = context
    if context.tae_preview_only:  # the tiny autoencoder changes no pixel
        decoded = replace(context, taesd_path=None, tae_preview_only=False)
    values.update(write_entries(_FILES, decoded))
    values.update(write_entries(_CONTEXT, context))
    if people:
        with_uncond = generation.cfg_scale != 1.0
        masks = names.get("people", ())
        people = tuple(
            replace(person, weight=identity_weight(encoders, person.weight)) for person in people
        )
        values.update(describe_people(people, identity_hash, with_uncond, masks))
        values["PuLID weights"] = Path(context.pulid_weights or "").name
    if identity is not None:
        values.update(write_entries([_CFG_START], identity))
    for name, key in _TEMPLATES.items():
        if templates is not None and name in templates:
            values[key] = templates[name]
    if hashes is not None:
        values.update(write_hashes(hashes))
    values["Version"] = f"{PROGRAM} {version}".strip()
    return PictureText(generation.prompt, generation.negative_prompt, values)


def _with_named_mode(
    generation: GenerationOptions, people: Sequence[Person], encoders: Sequence[str]
) -> GenerationOptions:
    """The picture with what its mode, or the default of SDXL's PuLID weights, is a name for."""
    said = (generation.id_mode, generation.id_projection, generation.id_zeros)
    first = people[0].identity
    made_by = first.encoder if isinstance(first, Identity) else encoders[0]
    mode = identity_mode(made_by, *said)
    return with_checked(
        generation, id_mode=None, id_projection=mode.projection, id_zeros=mode.zeros
    )


def generation_options_from(text: PictureText) -> GenerationOptions:
    """The options that a picture's text names; what it does not name has its default.

    A schedule that it does not name is the one that was the default then, see `picture_notes`.
    Images that the picture started from are not in the text, only their names are, see
    `image_names_from`.

    Raises:
        ValueError: A value that is not what its name promises.
    """
    options: dict[str, Any] = read_entries(_GENERATION, text.values)
    values = text.values
    try:
        if "Size" in values:
            options["width"], options["height"] = read_size(values["Size"])
        if "Seed" in values:
            options["seed"] = int(values["Seed"])
        if "Denoising strength" in values:
            options["strength"] = float(values["Denoising strength"])
    except ValueError as error:
        raise ValueError(f"the picture's text is damaged: {error}") from None
    if has_former_schedule(values):
        method = options.get("sampling_method", GenerationOptions.sampling_method)
        options["scheduler"] = former_default(method)
    if "hires_upscaler" in options:
        options["hires_upscaler"] = _file_name(options["hires_upscaler"])
    return GenerationOptions(text.prompt, text.negative_prompt, **options)


def _file_name(upscaler: str) -> str:
    """An upscaler's name without folders, of whatever system: neither are one's own told to others,
    nor is a file looked for where somebody else's picture says.
    """
    return PureWindowsPath(upscaler).name or upscaler


def picture_notes(text: PictureText) -> tuple[str, ...]:
    """What a picture's text leaves open, and how it is read: lines to show."""
    values = text.values
    if not values.get("Version", "").startswith(PROGRAM) or not has_former_schedule(values):
        return ()
    method = read_entries(_GENERATION, {"Sampler": values.get("Sampler", "")})["sampling_method"]
    scheduler = former_default(method)
    return (
        f"made with the noise schedule {scheduler}, which was the default then; "
        "--scheduler flux is the default now",
    )


def identity_values_from(text: PictureText) -> dict[str, Any]:
    """The arguments of `IdentityOptions`, less the people, that a picture's text names.

    Raises:
        ValueError: A value that is not what its name promises.
    """
    return read_entries(_IDENTITY, text.values)


def context_values_from(text: PictureText) -> dict[str, Any]:
    """The fields of `ContextOptions`, less the files, that a picture's text names.

    Raises:
        ValueError: A value that is not what its name promises.
    """
    return read_entries(_CONTEXT, text.values)


def file_names_from(text: PictureText) -> dict[str, str]:
    """The model files that a picture's text names, by field of `ContextOptions`.

    The diffusion model's is without its suffix, under "diffusion_model_path".
    """
    return read_entries((*_FILES, *_OTHER_FILES), text.values)


def templates_from(text: PictureText) -> dict[str, str]:
    """What the prompts of a picture's text were before their choices were made.

    Under "prompt" and "negative_prompt", where they had some.
    """
    return {name: text.values[key] for name, key in _TEMPLATES.items() if key in text.values}


def image_names_from(text: PictureText) -> dict[str, tuple[tuple[str, str], ...]]:
    """Name and hash of the images that a picture started from, under "init", "mask" and "ref".

    The hash is "" for one that was in memory only.
    """
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for role, label in _IMAGES.items():
        keys = (_numbered(label, role, number) for number in itertools.count(1))
        several = itertools.takewhile(text.values.__contains__, keys if role == "ref" else [label])
        found[role] = tuple((text.values[k], text.values.get(f"{k} hash", "")) for k in several)
    return found


def _numbered(label: str, role: str, number: int) -> str:
    return f"{label} {number}" if role == "ref" else label
