"""Grids: the same people in several prompts, with several seeds and weights, a picture of each.

wish = grid_wish(body)                    # what a client asks for
base = await service.read(body_fields(wish.base_body()), files)
for place in wish.places:
    request = request_at(base, place)     # one picture
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...options.facts import of
from ...options.generation import MAX_SEED, GenerationOptions
from ...people.person_spec import PersonSpec
from ...terminal_text import meant, shown
from ..bodies.typed_values import invalid, refused, typed, unwrapped_list
from ..errors import ApiError
from ..request.normal_request import NormalRequest
from ..request.person_fields import is_said

__all__ = [
    "DEFAULT_PROMPTS",
    "MAX_GRID_PICTURES",
    "MOST_OF_GRID",
    "GridPlace",
    "GridWish",
    "check_base",
    "grid_wish",
    "places_of",
    "request_at",
]

MAX_GRID_PICTURES = 100

DEFAULT_PROMPTS = (
    "portrait photo of a person, facing the camera, neutral expression, plain grey background",
    "profile photo of a person, seen from the side, soft window light",
    "photo of a person laughing, eyes nearly closed, in a bright kitchen",
    "photo of a person in formal evening wear, at a gala, half body",
    "photo of a person outdoors at night, lit by neon signs, rain on the street",
    "action photo of a person running on a beach, whole body, motion in the hair",
    "oil painting of a person in a blue coat, visible brush strokes",
    "studio photograph from the 1920s of a person, black and white, hat and scarf",
)
"""They differ in pose, expression, clothing, background, light and style."""

_FIELDS = ("person", "people", "prompts", "seeds", "weights", "request")
_MAX_PEOPLE = 100  # of the JSON; the server allows fewer
MOST_OF_GRID = {"prompts": 16, "seeds": 8, "weights": 5}
_OF_THE_GRID = {"prompt": "prompts", "seed": "seeds", "weight": "weights"}
_OF_EACH = ("prompt", "seed", "people")


@dataclass(frozen=True)
class GridPlace:
    """One picture of a grid.

    Attributes:
        number: Its place, from 0: by prompt, then by weight, then by seed.
        prompt, seed: Of the picture.
        weight: Of each person; None: what the request says.
    """

    number: int
    prompt: str
    seed: int
    weight: float | None


@dataclass(frozen=True)
class GridWish:
    """What a grid is made of.

    Attributes:
        prompts, seeds, weights: One picture for each combination.
        people: As in a request; all have the weight of the place.
        request: The fields that all pictures share.
    """

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    weights: tuple[float | None, ...]
    people: tuple[Any, ...]
    request: Mapping[str, Any]

    @property
    def places(self) -> tuple[GridPlace, ...]:
        """The pictures, in order."""
        return places_of(self.prompts, self.seeds, self.weights)

    def base_body(self) -> dict[str, Any]:
        """The body of the first picture's request."""
        return {
            **self.request,
            "prompt": self.prompts[0],
            "seed": self.seeds[0],
            "people": list(self.people),
        }


def places_of(
    prompts: tuple[str, ...], seeds: tuple[int, ...], weights: tuple[float | None, ...]
) -> tuple[GridPlace, ...]:
    """The pictures of a grid, in order."""
    combinations = itertools.product(prompts, weights, seeds)
    return tuple(
        GridPlace(number, prompt, seed, weight)
        for number, (prompt, weight, seed) in enumerate(combinations)
    )


def grid_wish(
    body: Mapping[str, Any],
    *,
    default_prompts: tuple[str, ...] = DEFAULT_PROMPTS,
    draw_seed: Callable[[], int] = lambda: secrets.randbelow(2**32),
) -> GridWish:
    """The grid that a body asks for.

    Args:
        body: As `POST /pulid/v1/grids` takes it.
        default_prompts: For "default", and where the body has none.
        draw_seed: Gives a seed where the body has none, and for -1.

    Raises:
        ApiError: Says what is wrong, and in which field.
    """
    for name in body:
        if name not in _FIELDS:
            message = f"there is no field {shown(name)}; {meant(name, _FIELDS)}"
            raise ApiError("unknown_field", message, name)
    request = body.get("request")
    if request is None:
        request = {}
    if not isinstance(request, Mapping):
        raise invalid("request", request, "an object, as the body of img_gen")
    prompts = _prompts(_listed(body, "prompts", request), default_prompts)
    seeds = _seeds(_listed(body, "seeds", request), draw_seed)
    fact = of(PersonSpec)["weight"]
    weights: list[float | None] = [
        typed(fact, value, f"weights[{number}]")
        for number, value in enumerate(_listed(body, "weights", {}) or ())
    ]
    count = len(prompts) * len(seeds) * max(len(weights), 1)
    if count > MAX_GRID_PICTURES:
        raise ApiError(
            "invalid_value",
            f"a grid of {count} pictures; at most {MAX_GRID_PICTURES} are possible: give fewer "
            "prompts, seeds or weights",
            "prompts",
        )
    for name, values in (("prompts", prompts), ("seeds", seeds), ("weights", weights)):
        for number, value in enumerate(values):
            if value in values[:number]:
                text = f"{name} has {shown(value)} twice; leave one out"
                raise ApiError("invalid_value", text, f"{name}[{number}]")
    people = _people(body, request)
    shared = {name: value for name, value in request.items() if name not in _OF_EACH}
    return GridWish(tuple(prompts), tuple(seeds), tuple(weights) or (None,), people, shared)


def check_base(base: NormalRequest) -> None:
    """Refuse a request of a grid's first picture that asks for several.

    Raises:
        ApiError: "invalid_value".
    """
    if base.options.get("batch_count", 1) != 1:
        raise ApiError(
            "invalid_value",
            "request: a grid has one picture for each seed; leave batch_count out, and give seeds",
            "request",
        )


def request_at(base: NormalRequest, place: GridPlace) -> NormalRequest:
    """The request of one picture of a grid.

    Args:
        base: Of the grid's first picture.
        place: Which picture.
    """
    people = base.people
    if place.weight is not None:
        people = tuple(
            dataclasses.replace(person, options={**person.options, "weight": place.weight})
            for person in people
        )
    options = {**base.options, "prompt": place.prompt, "seed": place.seed}
    return dataclasses.replace(base, options=options, people=people, warnings=())


def _listed(body: Mapping[str, Any], name: str, request: Mapping[str, Any]) -> Any:
    """A list of the body; one value of the shared request's; None: nothing is said."""
    value = body.get(name)
    if not is_said(value):
        one = request.get(next(key for key, grid in _OF_THE_GRID.items() if grid == name))
        return None if one is None or one == "" else [one]
    if name == "prompts" and value == "default":
        return None
    return unwrapped_list(value, name, MOST_OF_GRID[name])


def _prompts(values: list[Any] | None, default: tuple[str, ...]) -> list[str]:
    if values is None:
        return list(default)
    fact = of(GenerationOptions)["prompt"]
    found = []
    for number, value in enumerate(values):
        param = f"prompts[{number}]"
        prompt = typed(fact, value, param)
        if not prompt.strip():
            raise ApiError("invalid_value", f"{param} is empty; say what to show", param)
        try:
            GenerationOptions(prompt=prompt)
        except ValueError as error:
            raise refused(error, param, {"prompt": param}) from None
        found.append(prompt)
    return found


def _seeds(values: list[Any] | None, draw_seed: Callable[[], int]) -> list[int]:
    fact = of(GenerationOptions)["seed"]
    found = []
    for number, value in enumerate([-1] if values is None else values):
        param = f"seeds[{number}]"
        seed = typed(fact, value, param)
        if seed > MAX_SEED:
            raise invalid(param, value, f"from 0 to {MAX_SEED}, or -1")
        found.append(draw_seed() if seed < 0 else seed)
    return found


def _people(body: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[Any, ...]:
    named = {
        "person": body.get("person"),
        "people": body.get("people"),
        "request.people": request.get("people"),
    }
    said = {param: value for param, value in named.items() if is_said(value)}
    if not said:
        raise ApiError(
            "invalid_value", "a grid needs a person: the name of a kept one, or an object", "person"
        )
    if len(said) > 1:
        both = " and ".join(said)
        raise ApiError("identity_conflict", f"{both} are given; give one", list(said)[1])
    ((param, value),) = said.items()
    if param == "person":
        return (_person(value),)
    return tuple(_person(each) for each in unwrapped_list(value, param, _MAX_PEOPLE))


def _person(value: Any) -> Any:
    """A name or an id stands for the kept person."""
    return {"identity": value} if isinstance(value, str) else value
