"""The fields of a request's body by option, whatever the client called them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...options.facts import of
from ...options.generation import GenerationOptions
from ...terminal_text import meant, shown
from ..bodies.typed_values import invalid
from ..errors import ApiError
from .aliases import GROUPS, NAMES, NOT_OFFERED, PAIR_PLACES, PERSON_NAMES, PLACES
from .delivery import DeliveryOptions

__all__ = ["BodyFields", "Warned", "body_fields", "warned"]

Warned = Mapping[str, str]
"""A warning: its code, the field, and a message."""

_PEOPLE = ("people", "pulid")
_DELIVERY = tuple(of(DeliveryOptions))
KNOWN = (*NAMES, *PERSON_NAMES, *_PEOPLE, *_DELIVERY, "model")
_HALVES = ("batch_size", "n_iter")
"""A1111's: pictures at once, and how often."""


@dataclass(frozen=True)
class BodyFields:
    """What a body says.

    Attributes:
        options: Values by option, as the client wrote them; None is left out.
        delivery: Values by field of `DeliveryOptions`, and `model`.
        people: The fields of people.
        params: What the client calls each option.
        warnings: Fields that nothing is done with.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    delivery: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()

    def over(self, outer: BodyFields) -> BodyFields:
        """These, and of others what these do not say; people are of one of them."""
        return BodyFields(
            options={**outer.options, **self.options},
            delivery={**outer.delivery, **self.delivery},
            people=self.people or outer.people,
            params={**outer.params, **self.params},
            warnings=(*outer.warnings, *self.warnings),
        )


def warned(code: str, field_name: str, message: str) -> Warned:
    """A warning."""
    return {"code": code, "field": field_name, "message": message}


def body_fields(
    body: Mapping[str, Any],
    *,
    ignored: Collection[str] = (),
    names: Mapping[str, str] = MappingProxyType({}),
    own: bool = False,
    strict: bool = False,
) -> BodyFields:
    """Sort the fields of a body.

    Args:
        body: As JSON has it.
        ignored: Names that are passed over in silence.
        names: What a family calls options, beside the names that all have.
        own: Whether it is a body of our own endpoints, in which an unknown field is an error.
        strict: Whether that is an error everywhere, and what is not offered, too.

    Raises:
        ApiError: "unknown_field", "unsupported"; "invalid_value" for an option that is there twice
            with two values, or is no object where one belongs.
    """
    options: dict[str, Any] = {}
    delivery: dict[str, Any] = {}
    people: dict[str, Any] = {}
    params: dict[str, str] = {}
    warnings: list[Warned] = []
    pairs: dict[str, dict[int, Any]] = {}

    def say(name: str, value: Any, param: str) -> None:
        if name in options and options[name] != value:
            raise ApiError(
                "invalid_value",
                f"{params[name]} and {param} say two things; give one of them",
                param,
            )
        options[name], params[name] = value, param

    for param, value in _leaves(body):
        if param in ignored:
            continue
        if param == "image_preprocess" and not isinstance(value, bool):
            warnings.append(_not_offered(param, strict))
        elif option := names.get(param) or NAMES.get(param):
            say(option, value, param)
        elif param in PAIR_PLACES:
            name, number = PAIR_PLACES[param]
            pairs.setdefault(name, {})[number] = value
            params.setdefault(name, param)
        elif param in _DELIVERY or param == "model":
            delivery[param] = value
        elif param in PERSON_NAMES or param in _PEOPLE:
            people[param] = value
        elif param in NOT_OFFERED:
            if not NOT_OFFERED[param](value):
                warnings.append(_not_offered(param, strict))
        elif param not in _HALVES:
            warnings.append(_unknown(param, refuse=own or strict))
    for name, parts in pairs.items():
        default = of(GenerationOptions)[name].default
        say(name, [parts.get(0, default[0]), parts.get(1, default[1])], params[name])
    if any(body.get(name) is not None for name in _HALVES):
        say("batch_count", _product(body), "batch_size")
    return BodyFields(options, delivery, people, params, tuple(warnings))


def _leaves(body: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Values by place; what is None is not said."""
    for key, value in body.items():
        param = f"{place}{key}"
        if value is None:
            continue
        if param in GROUPS and isinstance(value, Mapping):
            yield from _leaves(value, f"{param}.")
        elif param in GROUPS and param not in NAMES:
            raise invalid(param, value, "an object")
        else:
            yield param, value


def _product(body: Mapping[str, Any]) -> int:
    product = 1
    for name in _HALVES:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:
            raise invalid(name, value, "a whole number from 1")
        product *= value
    return product


def _not_offered(param: str, strict: bool) -> Warned:
    message = f"{param} is not offered; it has no effect"
    if strict:
        raise ApiError("unsupported", message, param)
    return warned("not_offered", param, message)


def _unknown(param: str, *, refuse: bool) -> Warned:
    place, dot, _ = param.rpartition(".")
    known = [
        name.removeprefix(place + dot)
        for name in (*KNOWN, *PLACES.values(), *PAIR_PLACES)
        if name.rpartition(".")[0] == place
    ]
    message = f"there is no field {shown(param)}; {meant(param.removeprefix(place + dot), known)}"
    if refuse:
        raise ApiError("unknown_field", message, param)
    return warned("unknown_field", param, f"{message}; it has no effect")
