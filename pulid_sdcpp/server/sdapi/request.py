"""The bodies of A1111's `txt2img` and `img2img` as fields of a request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...options.facts import option
from ...options.second_pass import HIRES_UPSCALERS
from ...terminal_text import shown
from ..bodies.mask_change import MaskChange
from ..bodies.typed_values import invalid, typed_fields
from ..errors import ApiError
from ..request.body_fields import BodyFields, Warned, body_fields, warned
from ..request.prompt_extras import with_extras
from ..request.sdapi_names import sampler_from, scheduler_from, takes_eta, titled_model
from .fields import (
    FROM_PICTURE,
    FROM_TEXT,
    HIRES,
    NEUTRAL,
    ONLY_HIRES,
    ONLY_MASK,
    PARAMS,
    SILENT,
)
from .people import people_of_scripts

__all__ = ["SdapiRequest", "sdapi_request"]


@dataclass(frozen=True)
class _SdapiOwn:
    """What only A1111's bodies have."""

    mask_blur: float | None = option(None, "Radius of the mask's blur.", low=0, high=256)
    mask_blur_x: float = option(4.0, "The same, where it is not given.", low=0, high=256)
    inpainting_mask_invert: bool = option(False, "Whether black is what may change.")
    send_images: bool = option(True, "Whether the answer has the pictures.")
    force_task_id: str = option("", "A name of the client's for the job.", max_chars=100)


@dataclass(frozen=True)
class SdapiRequest:
    """A body of A1111's, understood.

    Attributes:
        fields: For `normalised_fields`.
        mask: What is done with the mask; None: there is none.
        send_images: Whether the answer has the pictures.
        task_id: The client's own name of the job, or "".
    """

    fields: BodyFields
    mask: MaskChange | None = None
    send_images: bool = True
    task_id: str = ""


def sdapi_request(
    body: Mapping[str, Any],
    *,
    from_picture: bool,
    upscalers: Collection[str] = (),
    honour_cfg_scale: bool = False,
    strict: bool = False,
) -> SdapiRequest:
    """Understand a body of `txt2img` or `img2img`.

    Args:
        body: As JSON has it.
        from_picture: Whether it is of `img2img`.
        upscalers: Names of upscaling models that there are.
        honour_cfg_scale: Whether `cfg_scale` is true CFG. Clients always send 7, which would double
            the time with a Flux model and burn the picture.
        strict: Whether what is not offered is an error.

    Raises:
        ApiError: Says what is wrong, and in which field.
    """
    own = typed_fields(_SdapiOwn, body)
    plain, people = dict(body), people_of_scripts(body, strict=strict)
    warnings = list(people.warnings)
    _drop_not_offered(plain, warnings, strict)
    if plain.get("negative_prompt") == "":  # clients always send it: the model's own then
        del plain["negative_prompt"]
    if from_picture or not plain.get("enable_hr"):  # then what is said of it means nothing
        for name in (*HIRES, *(() if from_picture else ("denoising_strength",))):
            plain.pop(name, None)
    said: dict[str, Any] = {}
    if people.people:
        if body.get("people"):
            raise ApiError(
                "identity_conflict", "people are in the body and in alwayson_scripts", "people"
            )
        said["people"] = people.people
    _sampling(plain, said, warnings, strict)
    _settings(plain, said)
    _upscaler(plain, upscalers, warnings)
    silent = set(SILENT)
    if from_picture:
        said["init_image"] = _start_picture(body)
    else:
        silent.add("mask")
    found = body_fields(
        {**plain, **said},
        ignored=silent - set(said),
        names=FROM_PICTURE if from_picture else FROM_TEXT,
        strict=strict,
    )
    found = replace(
        found, params={**found.params, **{name: PARAMS[name] for name in said if name in PARAMS}}
    )
    found = with_extras(found, strict=strict)
    found = _with_cfg(found, body.get("cfg_scale"), honour_cfg_scale, warnings)
    blur_px = own.mask_blur_x if own.mask_blur is None else own.mask_blur
    has_mask = bool(found.options.get("mask_image"))
    return SdapiRequest(
        replace(found, warnings=(*warnings, *found.warnings)),
        MaskChange(own.inpainting_mask_invert, blur_px) if has_mask else None,
        own.send_images,
        own.force_task_id,
    )


def _drop_not_offered(plain: dict[str, Any], warnings: list[Warned], strict: bool) -> None:
    """Take out what we do not do, with a warning where it would change the picture."""
    for name, is_neutral in NEUTRAL.items():
        value = plain.pop(name, None)
        if value is None or is_neutral(value):
            continue
        if (name in ONLY_HIRES and not plain.get("enable_hr")) or (
            name in ONLY_MASK and not plain.get("mask")
        ):
            continue
        message = f"{name} is not offered; it has no effect"
        if strict:
            raise ApiError("unsupported", message, name)
        warnings.append(warned("not_offered", name, message))


def _sampling(
    plain: Mapping[str, Any], said: dict[str, Any], warnings: list[Warned], strict: bool
) -> None:
    """Sampler, scheduler, eta and layers of CLIP."""
    param = "sampler_name" if plain.get("sampler_name") else "sampler_index"
    name, method = plain.get(param), None
    if name:
        if not isinstance(name, str):
            raise invalid(param, name, "text")
        method, scheduler = sampler_from(name)
        if method is None:
            if strict:
                raise ApiError("not_found", "Sampler not found", param)
            text = f"{param} {shown(name)} is not known; the model's own is used"
            warnings.append(warned("sampler_unknown", param, text))
        else:
            said["sampling_method"] = method
        if scheduler is not None:
            said["scheduler"] = scheduler
    name = plain.get("scheduler")
    if name is not None:
        if not isinstance(name, str):
            raise invalid("scheduler", name, "text")
        scheduler, is_known = scheduler_from(name)
        if scheduler is not None:
            said["scheduler"] = scheduler
        elif not is_known:
            text = f"scheduler {shown(name)} is not known; the model's own is used"
            if strict:
                raise ApiError("unsupported", text, "scheduler")
            warnings.append(warned("scheduler_unknown", "scheduler", text))
    if plain.get("eta") is not None and takes_eta(method):
        said["eta"] = plain["eta"]
    if plain.get("clip_skip") not in (None, 0, 1):  # 1 skips nothing, as A1111 counts
        said["clip_skip"] = plain["clip_skip"]


def _settings(plain: Mapping[str, Any], said: dict[str, Any]) -> None:
    """The settings of one picture: its model, and layers of CLIP."""
    settings = plain.get("override_settings")
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        raise invalid("override_settings", settings, "an object")
    if model := settings.get("sd_model_checkpoint"):
        said["model"] = titled_model(model) if isinstance(model, str) else model
    layers = settings.get("CLIP_stop_at_last_layers")
    if layers not in (None, 0, 1):
        said.setdefault("clip_skip", layers)


def _upscaler(plain: dict[str, Any], upscalers: Collection[str], warnings: list[Warned]) -> None:
    """One that is not here becomes the usual one."""
    name = plain.get("hr_upscaler")
    if not name or name in HIRES_UPSCALERS or name in upscalers:
        return
    del plain["hr_upscaler"]
    if plain.get("enable_hr"):
        text = f"hr_upscaler {shown(name)} is not known; Latent is used"
        warnings.append(warned("upscaler_unknown", "hr_upscaler", text))


def _start_picture(body: Mapping[str, Any]) -> Any:
    pictures = body.get("init_images")
    if not isinstance(pictures, list) or not pictures or not pictures[0]:
        raise invalid("init_images", pictures, "a list with the picture to start from")
    return pictures[0]


def _with_cfg(found: BodyFields, value: Any, honour: bool, warnings: list[Warned]) -> BodyFields:
    """With A1111's `cfg_scale`, if it counts and true CFG is not said otherwise."""
    pulid = found.people.get("pulid")
    is_said = "cfg_scale" in found.options or (isinstance(pulid, Mapping) and "true_cfg" in pulid)
    if value is None or is_said:
        return found
    if honour:
        return replace(
            found,
            options={**found.options, "cfg_scale": value},
            params={**found.params, "cfg_scale": "cfg_scale"},
        )
    if value != 1:
        text = (
            "cfg_scale is not used, as true CFG takes twice the time; give true_cfg for it, and "
            "distilled_cfg_scale for the guidance"
        )
        warnings.append(warned("cfg_scale_ignored", "cfg_scale", text))
    return found
