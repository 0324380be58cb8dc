"""The form of the Create screen without Gradio: its values as a request's body, and back.

The form has values by name of option; the body is that of `POST /sdcpp/v1/img_gen`, in which
options may be called so, too. What the model decides anyway is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..options.facts import of
from ..options.generation import SIZE_MULTIPLE_PX, GenerationOptions
from ..options.identity_mode import has_identity_modes
from ..people.identity_options import IdentityOptions
from ..server.errors import ApiError
from ..server.request.body_fields import body_fields

__all__ = [
    "ID_MODE_FIELDS",
    "LORA_ROWS",
    "NAMES",
    "SHAPES",
    "body_of_form",
    "default_of",
    "form_of_body",
    "has_modes",
    "shape_of",
    "size_of_shape",
]

LORA_ROWS = 3

_ALWAYS = ("prompt", "width", "height", "steps", "batch_count")
_PLAIN = (
    *("negative_prompt", "cfg_scale", "guidance", "sampling_method", "scheduler"),
    *("eta", "clip_skip", "cache_mode", "cache_option", "upscale_repeats"),
    *("slg_scale", "skip_layer_start", "skip_layer_end"),
)
ID_MODE_FIELDS = ("id_mode", "id_zeros")
"""What only an SDXL model has; the projection is the mode's."""
_HIRES = ("hires_upscaler", "hires_scale", "hires_steps", "hires_denoising_strength")
_LORAS = tuple(name for row in range(LORA_ROWS) for name in (f"lora_{row}", f"lora_weight_{row}"))
NAMES: tuple[str, ...] = (
    *(
        "model",
        *_ALWAYS,
        "seed",
        *_PLAIN,
        *ID_MODE_FIELDS,
        "cfg_start_step",
        "strength",
        "hires",
        *_HIRES,
        *_LORAS,
    ),
    *("preview", "title"),
)
"""What the form has, people and pictures apart; a value each."""

SHAPES: Mapping[str, tuple[float, float]] = {
    "square": (1, 1),
    "portrait": (896, 1152),
    "landscape": (1152, 896),
}
"""Width to height."""

_FACTS = {**of(GenerationOptions), "cfg_start_step": of(IdentityOptions)["cfg_start_step"]}
_OWN = {"preview": "proj", "seed": "-1", "cfg_start_step": 1, "id_mode": ""}
"""Where the form begins otherwise than a command."""
_WHOLE = {
    "cfg_start_step",
    "width",
    "height",
    "steps",
    "batch_count",
    "clip_skip",
    "upscale_repeats",
    "hires_steps",
    "id_zeros",
}


def default_of(name: str, settings: Mapping[str, Any], encoders: Sequence[str] = ()) -> Any:
    """What the form shows for a value that nothing is said of.

    Args:
        name: Of NAMES.
        settings: Of the model.
        encoders: Whose identities the model takes.
    """
    if name in settings:
        return settings[name]
    if name == "cfg_start_step" and has_modes(encoders):
        return 0
    if name in _OWN:
        return _OWN[name]
    if name in _FACTS:
        return _FACTS[name].default
    if name.startswith("lora_weight_"):
        return 1.0
    return ""


def body_of_form(
    form: Mapping[str, Any],
    settings: Mapping[str, Any],
    encoders: Sequence[str] = (),
    *,
    has_start: bool = False,
) -> dict[str, Any]:
    """The body that the form means, without people and pictures.

    Args:
        form: Values by NAMES.
        settings: Of the model.
        encoders: Whose identities it takes.
        has_start: Whether there is a picture to start from, without which strength means nothing.
    """
    body: dict[str, Any] = {"model": form["model"], "seed": _seed(form["seed"])}
    for name in _ALWAYS:
        body[name] = _plain(name, form[name])
    names = [*_PLAIN, *(["strength"] if has_start else [])]
    if has_modes(encoders):
        names += ID_MODE_FIELDS
    if form["cfg_scale"] != 1:
        body["cfg_start_step"] = _plain("cfg_start_step", form["cfg_start_step"])
    if form["hires"]:
        body["hires"] = True
        names += _HIRES
    for name in names:
        value = _plain(name, form[name])
        is_emptied = value == "" and name != "negative_prompt"  # of which a preset may have one
        if value not in (None, default_of(name, settings)) and not is_emptied:
            body[name] = value
    loras = [
        {"name": form[f"lora_{row}"], "multiplier": form[f"lora_weight_{row}"]}
        for row in range(LORA_ROWS)
        if form[f"lora_{row}"]
    ]
    if loras:
        body["lora"] = loras
    for name in ("preview", "title"):
        if form[name]:
            body[name] = form[name]
    return body


def form_of_body(
    body: Mapping[str, Any], settings: Mapping[str, Any], encoders: Sequence[str] = ()
) -> dict[str, Any]:
    """The form's values for a body, as it came or as `to_json` gives it.

    Args:
        body: Of any names that bodies may have; a batch becomes one picture of its first seed.
        settings: Of the model that the body names.
        encoders: Whose identities it takes.
    """
    fields = body_fields(body)
    said = {**fields.options, **fields.delivery}
    form = {name: said.get(name, default_of(name, settings, encoders)) for name in NAMES}
    form["seed"] = str(form["seed"])
    form["hires"] = form["hires"] is True
    for row, lora in enumerate(_loras(said.get("loras"))[:LORA_ROWS]):
        form[f"lora_{row}"], form[f"lora_weight_{row}"] = lora
    return form


def has_modes(encoders: Sequence[str]) -> bool:
    """Whether a model adds identities in several ways: SDXL's do, and Flux's refuse to be told.

    Args:
        encoders: Whose identities it takes.
    """
    return any(map(has_identity_modes, encoders))


def shape_of(width: float, height: float) -> str:
    """The name in SHAPES of a size, or "own"."""
    for name, (wide, high) in SHAPES.items():
        if height > 0 and abs(width / height - wide / high) < 0.02:
            return name
    return "own"


def size_of_shape(
    shape: str, settings: Mapping[str, Any], step: int = SIZE_MULTIPLE_PX
) -> tuple[int, int]:
    """Width and height of a shape, as many pixels as the model's own size has.

    Args:
        shape: Of SHAPES.
        settings: Of the model.
        step: What its sizes are multiples of, in pixels.
    """
    width, height = default_of("width", settings), default_of("height", settings)
    wide, high = SHAPES[shape]
    scale = (width * height / (wide * high)) ** 0.5
    return _multiple(wide * scale, step), _multiple(high * scale, step)


def _multiple(side: float, step: int) -> int:
    return max(round(side / step), 1) * step


def _loras(value: Any) -> list[tuple[str, float]]:
    found = []
    for one in value if isinstance(value, Sequence) and not isinstance(value, str) else ():
        if isinstance(one, Mapping):
            weight = one.get("multiplier", 1.0)
            found.append((str(one.get("name") or one.get("path") or ""), float(weight)))
        else:
            found.append((str(one), 1.0))
    return found


def _plain(name: str, value: Any) -> Any:
    if name in _WHOLE and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _seed(text: Any) -> int:
    """A text, as a browser's numbers have 53 bits."""
    text = str(text if text is not None else "").strip()
    if not text:
        return -1
    try:
        return int(text)
    except ValueError:
        raise ApiError("invalid_value", "the seed is no whole number", "seed") from None
