"""A request for pictures in the one form that every family of endpoints becomes.

request = normalised(body, models=models, default_model="flux-dev-q4", readers=readers)
request.seeds                     # fixed now, so that a restart makes the same pictures
job.request = to_json(request)    # a body again: `normalised` reads it back
settle(given_of(request, files))  # and the pipeline makes it
"""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...options.facts import of
from ...options.generation import MAX_SEED, GenerationOptions
from ...options.lora_spec import MAX_LORA_WEIGHT
from ...options.second_pass import HIRES_UPSCALERS
from ...options.size_multiple import size_multiple_px
from ...people.identity_options import IdentityOptions
from ...terminal_text import meant, shown
from ..bodies.safe_names import plain_name
from ..bodies.typed_values import invalid, typed, unwrapped_list
from ..errors import ApiError
from .aliases import PICTURES
from .body_fields import BodyFields, Warned, body_fields, warned
from .delivery import OTHER_NAMES, DeliveryOptions
from .people_fields import people_in
from .person_fields import Kept, PersonFields, Readers
from .request_limits import RequestLimits, check_picture

__all__ = ["MAX_REFERENCES", "NormalRequest", "normalised", "normalised_fields"]

_FACTS = {**of(GenerationOptions), "cfg_start_step": of(IdentityOptions)["cfg_start_step"]}
MAX_REFERENCES = 16
"""Pictures to look at."""
_MAX_LORAS = 100
_MODEL_OF_OTHERS = re.compile(r"dall-e-[23]|gpt-image-[\w.-]*|chatgpt-image-latest|sd-cpp-local|")
_SIDES = ("width", "height", "hires_width", "hires_height")
_UNSAID: Mapping[str, Sequence[Any]] = {
    "sampling_method": ("default", ""),
    "scheduler": ("",),
    "sigmas": ([], ""),
}
"""Values with which clients say nothing."""


@dataclass(frozen=True)
class NormalRequest:
    """Pictures of one prompt, as far as a client says what they are.

    Attributes:
        model: The preset's name, or the model's.
        options: Fields of `GenerationOptions` that are said, and `cfg_start_step`; with `seed`,
            without pictures. `loras` are pairs of a name and a weight.
        pictures: Those of PICTURES that came along.
        people: Who is in them.
        delivery: How they are delivered.
        warnings: What is not done as it was said; not part of the JSON form.
    """

    model: str
    options: Mapping[str, Any]
    pictures: Mapping[str, tuple[Kept, ...]] = field(default_factory=dict)
    people: tuple[PersonFields, ...] = ()
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    warnings: tuple[Warned, ...] = field(default=(), compare=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each picture."""
        first = self.options["seed"]
        return tuple(first + number for number in range(self.options.get("batch_count", 1)))

    @property
    def kept(self) -> tuple[Kept, ...]:
        """All that came along and belongs to the job: pictures, masks, photos, embeddings."""
        pictures = [one for several in self.pictures.values() for one in several]
        return (*pictures, *(one for person in self.people for one in person.kept))


def normalised(
    body: Mapping[str, Any],
    *,
    models: Mapping[str, Mapping[str, Any]],
    default_model: str,
    readers: Readers,
    limits: RequestLimits | None = None,
    ignored: Collection[str] = (),
    own: bool = False,
    strict: bool = False,
    draw_seed: Callable[[], int] = lambda: secrets.randbelow(2**32),
    encoders: Callable[[str], Sequence[str]] = lambda _: (),
    size_multiple: Callable[[str], int] | None = None,
) -> NormalRequest:
    """The request that a body is.

    Args:
        body: As `POST /sdcpp/v1/img_gen` takes it, parsed.
        models: The models there are, with the settings of each.
        default_model: The one of those who name none.
        readers: For all that is no plain value.
        limits: None: there are none, as for a job that was accepted before.
        ignored: Fields of the body that are passed over.
        own: Whether an unknown field is an error, as at our own endpoints.
        strict: Whether what is not offered is an error, too.
        draw_seed: Gives a seed to who names none.
        encoders: Gives whose identities a model takes; of a job that was accepted before it need
            not be said.
        size_multiple: Gives what a model's sizes are multiples of; None: its encoders tell.

    Raises:
        ApiError: Says what is wrong, and in which field.
    """
    fields = body_fields(body, ignored=ignored, own=own, strict=strict)
    return normalised_fields(
        fields,
        models=models,
        default_model=default_model,
        readers=readers,
        limits=limits,
        draw_seed=draw_seed,
        encoders=encoders,
        size_multiple=size_multiple,
    )


def normalised_fields(
    fields: BodyFields,
    *,
    models: Mapping[str, Mapping[str, Any]],
    default_model: str,
    readers: Readers,
    limits: RequestLimits | None = None,
    draw_seed: Callable[[], int] = lambda: secrets.randbelow(2**32),
    encoders: Callable[[str], Sequence[str]] = lambda _: (),
    size_multiple: Callable[[str], int] | None = None,
) -> NormalRequest:
    """As `normalised`, of fields that are sorted already."""
    warnings = list(fields.warnings)
    people, of_picture = people_in(fields.people, readers, limits)
    if of_picture:
        fields = body_fields(of_picture).over(fields)
    param = fields.params.get("model", "model")
    model = _model(fields.delivery.get("model"), param, models, default_model)
    its_encoders = encoders(model)
    step = size_multiple_px(its_encoders) if size_multiple is None else size_multiple(model)
    options = _options(fields, warnings, step)
    if (seed := options.get("seed", -1)) < 0:
        options["seed"] = min(draw_seed(), MAX_SEED - options.get("batch_count", 1) + 1)
    elif seed > MAX_SEED:
        raise invalid(fields.params["seed"], seed, f"from 0 to {MAX_SEED}, or -1")
    delivery = _delivery(fields.delivery)
    pictures = _pictures(fields, readers)
    check_picture(options, pictures, models[model], fields.params, limits, its_encoders, step)
    return NormalRequest(model, options, pictures, people, delivery, tuple(warnings))


def _model(value: Any, param: str, models: Mapping[str, Any], default: str) -> str:
    if value is None or value == default:
        return default
    if not isinstance(value, str):
        raise invalid(param, value, "text")
    if value in models:
        return value
    if _MODEL_OF_OTHERS.fullmatch(value):
        return default
    raise ApiError(
        "model_not_found", f"there is no model {shown(value)}; {meant(value, models)}", param
    )


def _options(fields: BodyFields, warnings: list[Warned], step: int) -> dict[str, Any]:
    """The plain ones, each of its type and in its range."""
    found: dict[str, Any] = {}
    for name, value in fields.options.items():
        param = fields.params[name]
        if name in PICTURES:
            continue
        if value in _UNSAID.get(name, ()):
            continue
        if name == "loras":
            if loras := _loras(value, param, warnings):
                found[name] = loras
            continue
        if name in _SIDES and value not in (0, "0"):
            value = _rounded(value, name, param, warnings, step)
        found[name] = typed(_FACTS[name], value, param)
    prompt = found.get("prompt")
    if prompt is None or not prompt.strip():
        raise ApiError("invalid_value", "prompt is missing; say what to show", "prompt")
    upscaler = found.get("hires_upscaler", "Latent")
    if upscaler not in HIRES_UPSCALERS:
        plain_name(upscaler, param=fields.params["hires_upscaler"])
    return found


def _rounded(value: Any, name: str, param: str, warnings: list[Warned], step: int) -> Any:
    """The nearest size that the model has: A1111's clients send multiples of 8."""
    side = typed(dataclasses.replace(_FACTS[name], step=1, low=1), value, param)
    nearest = max((side + step // 2) // step * step, step)
    if nearest != side:
        warnings.append(
            warned("size_rounded", param, f"{param} {side} is made {nearest}, a multiple of {step}")
        )
    return nearest


def _loras(value: Any, param: str, warnings: list[Warned]) -> tuple[tuple[str, float], ...]:
    """Names of LoRAs with their weights: `{"name" or "path", "multiplier"}`, or a name."""
    found = []
    for number, one in enumerate(unwrapped_list(value, param, _MAX_LORAS)):
        place = f"{param}[{number}]"
        said = {"name": one} if isinstance(one, str) else one
        if not isinstance(said, Mapping):
            raise invalid(place, one, 'an object, {"name": ..., "multiplier": 1}')
        names = [said[key] for key in ("name", "path") if said.get(key)]
        if not names or any(name != names[0] for name in names):
            raise ApiError("invalid_value", f"{place} needs one name of a LoRA", place)
        for key, extra in said.items():
            if key not in ("name", "path", "multiplier", "is_high_noise"):
                text = f"there is no field {shown(f'{place}.{key}')}; it has no effect"
                warnings.append(warned("unknown_field", f"{place}.{key}", text))
            elif key == "is_high_noise" and extra:
                text = f"{place}.is_high_noise is of other models; it has no effect"
                warnings.append(warned("not_offered", f"{place}.is_high_noise", text))
        weight = said.get("multiplier")
        fact = dataclasses.replace(
            _FACTS["guidance"], low=-MAX_LORA_WEIGHT, high=MAX_LORA_WEIGHT, name="multiplier"
        )
        weight = 1.0 if weight is None else typed(fact, weight, f"{place}.multiplier")
        found.append((plain_name(names[0], param=f"{place}.name"), weight))
    return tuple(found)


def _delivery(said: Mapping[str, Any]) -> DeliveryOptions:
    facts = of(DeliveryOptions)
    values = {}
    for name, value in said.items():
        if name != "model":
            other = OTHER_NAMES.get(name, {}).get(value) if isinstance(value, str) else None
            values[name] = typed(facts[name], other or value, name)
    return DeliveryOptions(**values)


def _pictures(fields: BodyFields, readers: Readers) -> dict[str, tuple[Kept, ...]]:
    found: dict[str, tuple[Kept, ...]] = {}
    for name in PICTURES:
        value = fields.options.get(name)
        if value is None or value in ("", [], ()):
            continue
        param = fields.params[name]
        if name == "ref_images":
            several = unwrapped_list(value, param, MAX_REFERENCES)
            found[name] = tuple(
                readers.picture(one, f"{param}[{number}]") for number, one in enumerate(several)
            )
        else:
            read = readers.mask if name == "mask_image" else readers.picture
            found[name] = (read(value, param),)
    return found
