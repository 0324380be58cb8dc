"""What one picture is asked for with, read and checked before any model is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import named, option_error
from ..families.pulid_encoders import encoders_of_weights
from ..identity.identity_file import Identity, is_identity_content, is_identity_file
from ..model_files.lora_checks import check_prompt_loras
from ..model_files.lora_files_named import with_lora_tags
from ..model_files.model_family import is_sdxl_model
from ..model_files.upscalers import second_pass_upscaler
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..options.identity_mode import identity_weight
from ..options.preview import PREVIEW_METHODS
from ..options.second_pass import encodes_a_picture
from ..options.size_multiple import check_size_multiple
from ..people.identity_options import check_people
from ..people.identity_use import IdentityLike, as_identity, identity_uses
from ..people.person import Person
from ..people.region_weights import SettledRegion
from ..pictures.text_entries import FileUsed
from ..store.model_store import PresetFiles
from ..system.mask_image import read_mask
from ..terminal_text import shown
from .generate_request import GenerateRequest, settle
from .read_images import ImageNames, read_once

__all__ = [
    "PictureRequest",
    "check_preview",
    "identity_given_as",
    "picture_request",
    "read_request",
]

_OWN_ARGUMENTS = {"prompt", "batch_count"}
_GENERATION_FIELDS = {field.name for field in fields(GenerationOptions)} - _OWN_ARGUMENTS


@dataclass(frozen=True, eq=False)
class PictureRequest:
    """A picture that can be made as soon as the model is loaded.

    Attributes:
        generation: One picture, with a fixed seed and images that are read.
        people: Who is in it; every identity and mask is read.
        cfg_start_step: As that of `PulidPipeline.generate`.
        image_names, templates: For `describe_picture`.
    """

    generation: GenerationOptions
    people: tuple[Person, ...]
    cfg_start_step: int | None
    image_names: ImageNames
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Of everybody who is asked for."""
        return tuple(as_identity(person.identity) for person in self.people)


def read_request(
    context: ContextOptions,
    settings: Mapping[str, Any],
    prompt: str,
    identity: IdentityLike | Person | Sequence[Person] | None,
    span: Mapping[str, Any],
    cfg_start_step: int | None,
    generation: Mapping[str, Any],
) -> PictureRequest:
    """Read files and check everything that can be checked without the model.

    Args:
        context: What the model is loaded with.
        settings: Generation options that hold where `generation` has none.
        prompt: What the picture should show.
        identity: Whose face, see `PulidPipeline.generate`.
        span: weight, start_step and end_step of a single identity.
        generation: Fields of `GenerationOptions` by name.

    Raises:
        TypeError: A name that is no option.
        ValueError: A value out of range, or what does not go together.
        PulidError: A file that cannot be used.
    """
    _check_arguments(generation)
    request = settle(
        {"prompt": prompt, **generation, **span, "cfg_start_step": cfg_start_step},
        preset=PresetFiles("", settings=dict(settings)),
        context=context,
    )
    return picture_request(request, _people(identity, span))


def picture_request(request: GenerateRequest, people: Sequence[Person]) -> PictureRequest:
    """The picture with everybody's identity and mask read, checked together with the rest.

    Raises:
        ValueError: What does not go together, or a person who would not be in the picture.
        PulidError: An identity, a mask or a LoRA that cannot be used.
    """
    context, generation = request.context, with_lora_tags(request.generation)
    names = dict(request.image_names)
    is_started = names["init"] or names["ref"]
    if context.vae_decode_only and (is_started or names["control"]):
        what = "a picture to start from" if is_started else named("control_image")
        raise option_error(
            f"{what} is given, but the pipeline was made with vae_decode_only, which leaves out "
            "what reads it"
        )
    enlarges_pixels = generation.hires and encodes_a_picture(generation.hires_upscaler)
    if context.vae_decode_only and enlarges_pixels:
        raise option_error(
            f"{named('hires_upscaler')} is {shown(generation.hires_upscaler)}, which enlarges "
            f"pixels, but the "
            "pipeline was made with vae_decode_only, which leaves out what reads them; take Latent"
        )
    check_people(len(people))
    encoders = encoders_of_weights(context.pulid_weights)
    read = [_ready(person, encoders) for person in people]
    names["people"] = tuple(used for _, used in read)
    everybody = tuple(person for person, _ in read)
    check_size_multiple(generation, encoders, is_sdxl=is_sdxl_model(vars(context)))
    identity_uses(
        *(everybody, request.cfg_start_step, generation, encoders),
        weights=context.pulid_weights or "",
    )
    check_prompt_loras(
        *(generation.prompt, vars(context), generation.negative_prompt),
        lora_files=generation.lora_files,
    )
    second_pass_upscaler(generation, context.hires_upscalers_dir)
    templates = request.written[0].templates if request.written else {}
    return PictureRequest(generation, everybody, request.cfg_start_step, names, templates)


def check_preview(context: ContextOptions, method: object, interval: object) -> None:
    """Refuse a preview for which a part is not loaded.

    Raises:
        ValueError: Names what is needed.
    """
    from ..options.checks import check_choice, check_whole
    from ..options.generation import MAX_STEPS

    check_choice("preview_method", method, PREVIEW_METHODS)
    check_whole("preview_interval", interval, 1, MAX_STEPS)
    if method == "tae" and context.taesd_path is None:
        raise option_error(
            f"{named('preview_method')} is 'tae', but no tiny autoencoder is loaded; name "
            f"{named('taesd_path')}, or use 'proj'"
        )
    if method == "vae" and context.taesd_path is not None:
        raise option_error(
            f"{named('preview_method')} is 'vae', but previews are decoded by the tiny autoencoder "
            f"({named('taesd_path')}) here; use 'tae'"
        )


def identity_given_as(photos: Any, encoders: Sequence[str]) -> Identity | None:
    """The identity, when an identity file or what is in one is given instead of photos.

    Args:
        photos: As the user gave them.
        encoders: Which the model's PuLID weights work with, see `as_identity`.

    Raises:
        ValueError: It is one of several.
        IdentityFileError: It is damaged.
    """
    several = list(photos) if isinstance(photos, list | tuple) else [photos]
    found = [photo for photo in several if _is_identity(photo)]
    if found and len(several) > 1:
        what = found[0] if isinstance(found[0], str | os.PathLike) else "one of the photos"
        raise ValueError(
            f"{what} is an identity file: it is given alone, and cannot be fused with photos"
        )
    if not found:
        return None
    if isinstance(found[0], bytes):
        return Identity.from_bytes(found[0])
    return as_identity(Path(found[0]), encoders)


def _is_identity(photo: Any) -> bool:
    if isinstance(photo, bytes):
        return is_identity_content(photo)
    return isinstance(photo, str | os.PathLike) and is_identity_file(photo)


def _check_arguments(given: Mapping[str, Any]) -> None:
    batch_count = given.get("batch_count", 1)
    if batch_count != 1:
        raise ValueError(
            f"batch_count is {batch_count}, but generate makes one picture; make several with "
            "generate_each, a seed for each"
        )
    for name in given:
        if name not in _GENERATION_FIELDS and name != "batch_count":
            raise TypeError(f"generate() got an unexpected keyword argument {shown(name)}")


def _people(
    identity: IdentityLike | Person | Sequence[Person] | None, span: Mapping[str, Any]
) -> tuple[Person, ...]:
    """Who is meant by the arguments of `PulidPipeline.generate`."""
    if identity is None:
        return ()
    if not isinstance(identity, Person | list | tuple):
        return (Person(identity, **span),)  # type: ignore[arg-type]
    for name, value in span.items():
        if value != getattr(Person, name):
            raise ValueError(
                f"{name} is {shown(value)}, but people have one each; give it to Person"
            )
    people = (identity,) if isinstance(identity, Person) else tuple(identity)
    for someone in people:
        if not isinstance(someone, Person):
            raise ValueError(
                f"{shown(str(someone))} is among the people; make each a Person(identity, ...)"
            )
    return people


def _ready(person: Person, encoders: Sequence[str]) -> tuple[Person, FileUsed | None]:
    """The person with a weight, the identity and the region's mask read, and the mask's file."""
    weight = identity_weight(encoders, person.weight)
    person = replace(person, identity=as_identity(person.identity, encoders), weight=weight)
    region = person.region
    if region is None:
        return person, None
    if region.mask is None:
        return replace(person, region=SettledRegion(region.box)), None
    mask, used = read_once("mask", region.mask, read_mask)
    return replace(person, region=SettledRegion(mask=mask)), used
