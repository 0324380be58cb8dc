"""The answer to A1111's `txt2img` and `img2img`: pictures, the body again, and `info`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...options.generation import GenerationOptions
from ...pictures.parameters import PROGRAM, generation_options_from
from ...pictures.people_text import DescribedPerson, people_from
from ...pictures.png_text import PictureText, parse_text
from ..request.aliases import PERSON_NAMES, PICTURES
from ..request.body_fields import Warned
from ..request.normal_request import NormalRequest
from ..request.sdapi_names import sampler_name, scheduler_label

__all__ = ["SdapiMade", "sdapi_answer", "sdapi_info"]

_LONGEST = 10_000
"""Characters of a text in a body that is given back: of a prompt, and not of a picture."""
_FILES = ("photo", "photos", "embedding")
_PICTURE_FIELDS = frozenset(
    [
        *PICTURES,
        *(name for name, field in PERSON_NAMES.items() if field in _FILES),
        *("init_images", "mask", "image", "input_image", "effective_region_mask"),
        *("source_image", "extra_images"),
    ]
)
_FIELDS = tuple(field.name for field in fields(GenerationOptions))
_ELSEWHERE = frozenset(
    ["Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "Version"]
)
"""Entries of a picture's text that stand in `info` by other names."""


@dataclass(frozen=True)
class SdapiMade:
    """What was made for a request.

    Attributes:
        request: What was wanted.
        settings: The model's own, of fields of `GenerationOptions`.
        seeds: Of all pictures that were wanted.
        texts: The text of each picture that there is.
        created: When the job came, unix seconds.
        model_hash: The first digits of the model's SHA-256; None: it is not known.
        version: Of this package.
        warnings: What was not done as it was said.
        interrupted: Whether it ended before all pictures were there.
    """

    request: NormalRequest
    settings: Mapping[str, Any]
    seeds: Sequence[int]
    texts: Sequence[str]
    created: float
    model_hash: str | None
    version: str
    warnings: Sequence[Warned] = ()
    interrupted: bool = False


def sdapi_answer(
    body: Mapping[str, Any], pictures: Sequence[str], info: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer's JSON.

    Args:
        body: As it came; it is given back without its pictures.
        pictures: Each in base64.
        info: Of `sdapi_info`; in the answer it is a text.
    """
    return {
        "images": list(pictures),
        "parameters": _without_pictures(body),
        "info": json.dumps(info, ensure_ascii=False),
    }


def sdapi_info(made: SdapiMade) -> dict[str, Any]:
    """What A1111 says of the pictures, as their own texts have it; before there is any, as the
    request has it.

    Source: stable-diffusion-webui, modules/processing.py, Processed.js.
    """
    texts = [parse_text(text) for text in made.texts]
    each = [generation_options_from(text) for text in texts] or _planned(made)
    first = each[0]
    seeds = [one.seed for one in each]
    return {
        "prompt": first.prompt,
        "all_prompts": [one.prompt for one in each],
        "negative_prompt": first.negative_prompt,
        "all_negative_prompts": [one.negative_prompt for one in each],
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": seeds[0],
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": first.width,
        "height": first.height,
        "sampler_name": sampler_name(first.sampling_method),
        "cfg_scale": first.cfg_scale,
        "steps": first.steps,
        "batch_size": len(made.seeds),
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": made.request.model,
        "sd_model_hash": made.model_hash,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": _denoising(made.request, first),
        "extra_generation_params": _extra(first, texts[0] if texts else None, made.request),
        "index_of_first_image": 0,
        "infotexts": list(made.texts),
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(made.created)),
        "clip_skip": max(first.clip_skip, 1),
        "is_using_inpainting_conditioning": False,
        "version": f"{PROGRAM} {made.version}",
        "warnings": [dict(one) for one in made.warnings],
        "interrupted": made.interrupted,
    }


def _planned(made: SdapiMade) -> list[GenerationOptions]:
    """The options of all pictures that were wanted."""
    said = {**made.settings, **made.request.options}
    known = {
        name: value
        for name, value in said.items()
        if name in _FIELDS and name not in ("loras", "lora_files", "batch_count", "seed")
    }
    return [GenerationOptions(**known, seed=seed) for seed in made.seeds]


def _denoising(request: NormalRequest, first: GenerationOptions) -> float | None:
    if "init_image" in request.pictures:
        return first.strength
    return first.hires_denoising_strength if first.hires else None


def _extra(
    first: GenerationOptions, text: PictureText | None, request: NormalRequest
) -> dict[str, Any]:
    """What A1111 has no field for."""
    values = text.values if text is not None else {}
    people = [_person(one) for one in people_from(text)] if text is not None else []
    if text is None:
        people = [dict(person.options) for person in request.people]
    others = {
        key: value
        for key, value in values.items()
        if key not in _ELSEWHERE and not key.startswith("PuLID")
    }
    return {"Schedule type": scheduler_label(first.scheduler), **others, "pulid": people}


def _person(person: DescribedPerson) -> dict[str, Any]:
    box = {} if person.box is None else {"box": list(person.box)}
    return {"identity": person.identity_hash, **person.span, **box}


def _without_pictures(value: Any, name: str = "") -> Any:
    if name in _PICTURE_FIELDS and not isinstance(value, Mapping):
        return None
    if isinstance(value, Mapping):
        return {key: _without_pictures(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_pictures(one) for one in value]
    is_picture = isinstance(value, str) and (len(value) > _LONGEST or value[:5] == "data:")
    return None if is_picture else value
