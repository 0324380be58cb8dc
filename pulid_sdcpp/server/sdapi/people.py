"""People in A1111's `alwayson_scripts`: our own script "pulid", and ControlNet's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..bodies.typed_values import invalid
from ..errors import ApiError
from ..request.body_fields import Warned, warned

__all__ = ["ScriptPeople", "people_of_scripts"]

_OUR_SCRIPT = "pulid"
_CONTROLNET = "controlnet"


@dataclass(frozen=True)
class ScriptPeople:
    """What scripts say.

    Attributes:
        people: As a body's `people` has them.
        warnings: Scripts and units that are not offered.
    """

    people: list[Mapping[str, Any]]
    warnings: list[Warned]


def people_of_scripts(body: Mapping[str, Any], *, strict: bool = False) -> ScriptPeople:
    """The people of a body's scripts.

    Args:
        body: Of `txt2img` or `img2img`.
        strict: Whether another script is an error.

    Raises:
        ApiError: "invalid_value", "unsupported".
    """
    found = ScriptPeople([], [])
    scripts = body.get("alwayson_scripts")
    if scripts is None or scripts == []:
        return found
    if not isinstance(scripts, Mapping):
        raise invalid("alwayson_scripts", scripts, "an object")
    for name, script in scripts.items():
        param = f"alwayson_scripts.{name}"
        arguments = _arguments(script, param)
        if name.lower() == _OUR_SCRIPT:
            found.people.extend(_person(one, f"{param}.args") for one in arguments if one)
        elif name.lower() == _CONTROLNET:
            for number, unit in enumerate(arguments):
                _add_unit(unit, f"{param}.args[{number}]", found, strict)
        elif arguments and arguments[0] is not False:  # ADetailer and others: switched off
            _not_offered(param, found, strict)
    return found


def _arguments(script: Any, param: str) -> list[Any]:
    arguments = script.get("args") if isinstance(script, Mapping) else script
    if arguments is None or arguments == {}:
        return []
    if isinstance(arguments, Mapping):
        return [arguments]
    if not isinstance(arguments, list):
        raise invalid(param, arguments, 'an object, {"args": [...]}')
    return arguments


def _person(value: Any, param: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(param, value, "a list of objects, each a person")
    return value


def _add_unit(unit: Any, param: str, found: ScriptPeople, strict: bool) -> None:
    """A unit whose module or model is PuLID's is a person."""
    if unit is None or unit is False:
        return
    if not isinstance(unit, Mapping):
        raise invalid(param, unit, "an object")
    picture = _picture(unit)
    if unit.get("enabled") in (False, 0):
        return
    if not any("pulid" in str(unit.get(name, "")).lower() for name in ("module", "model")):
        if picture:
            _not_offered(param, found, strict)
        return
    if not picture:
        raise ApiError(
            "identity_without_person", f"{param} has no image; give a photo", f"{param}.image"
        )
    person: dict[str, Any] = {"photo": picture}
    if unit.get("weight") is not None:
        person["weight"] = unit["weight"]
    for name, key, neutral in (
        ("guidance_start", "start_step", 0),
        ("guidance_end", "end_step", 1),
    ):
        value = unit.get(name)
        if value is None or value == neutral:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise invalid(f"{param}.{name}", value, "from 0 to 1")
        person[key] = float(value)
    if unit.get("effective_region_mask"):
        person["region"] = {"mask": unit["effective_region_mask"]}
    found.people.append(person)


def _picture(unit: Mapping[str, Any]) -> Any:
    """The photo: text, or an object with it."""
    value = unit.get("image") or unit.get("input_image")
    return value.get("image") if isinstance(value, Mapping) else value


def _not_offered(param: str, found: ScriptPeople, strict: bool) -> None:
    message = f"{param} is not offered; it has no effect"
    if strict:
        raise ApiError("unsupported", message, param)
    found.warnings.append(warned("not_offered", param, message))
