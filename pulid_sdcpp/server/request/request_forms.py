"""A normalised request in other forms: as JSON, as `settle` takes it, and of a picture's recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model_files.lora_tags import tag_of
from ...options.facts import of
from ...options.generation import GenerationOptions
from ...people.person import Person
from .aliases import PAIRS, PICTURES, PLACES
from .delivery import DeliveryOptions
from .normal_request import NormalRequest
from .person_fields import Kept, PersonFields, person_json

if TYPE_CHECKING:
    from ...pictures.recipe import PictureRecipe

__all__ = ["from_recipe", "given_of", "options_of_picture", "to_json"]


def to_json(request: NormalRequest) -> dict[str, Any]:
    """The request as a body of `POST /sdcpp/v1/img_gen`, without defaults.

    What came along is named by its hash, "sha256:...": who reads it back gives `normalised` readers
    that know these names.
    """
    body: dict[str, Any] = {"model": request.model} if request.model else {}
    for name, value in request.options.items():
        if name in PAIRS:
            for place, part in zip(PAIRS[name], value, strict=True):
                _put(body, place, part)
        elif name == "loras":
            body[PLACES[name]] = [{"name": lora, "multiplier": weight} for lora, weight in value]
        else:
            _put(body, PLACES[name], list(value) if isinstance(value, tuple) else value)
    for name, several in request.pictures.items():
        names = [f"sha256:{one.sha256}" for one in several]
        body[PLACES[name]] = names if name == "ref_images" else names[0]
    if request.people:
        body["people"] = [person_json(person) for person in request.people]
    for name, fact in of(DeliveryOptions).items():
        if (value := getattr(request.delivery, name)) != fact.default:
            body[name] = value
    return body


def _put(body: dict[str, Any], place: str, value: Any) -> None:
    *groups, last = place.split(".")
    for group in groups:
        body = body.setdefault(group, {})
    body[last] = value


def given_of(
    request: NormalRequest, files: Mapping[str, Any], identities: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What was said, as `request.generate_request.settle` takes it.

    With names as values of `files` it is JSON, and `given_in` makes files of it; a region is
    `{"box": [...]}` or `{"mask": file}`.

    Args:
        request: With its seed.
        files: The file of all that came along, by its hash.
        identities: The file of each kept identity, by what the request calls it.

    Raises:
        KeyError: A file that is not there.
    """
    given: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in request.options.items()
        if name != "loras"
    }
    given["prompt"] += "".join(tag_of(name, w) for name, w in request.options.get("loras", ()))
    for name, several in request.pictures.items():
        found = [files[one.sha256] for one in several]
        given[name] = found if name == "ref_images" else found[0]
    if request.people:
        given["people"] = [_person(person, files, identities or {}) for person in request.people]
    return given


def _person(
    person: PersonFields, files: Mapping[str, Any], identities: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = dict(person.options)
    if name := person.name or person.identity:
        found["name"] = name
    if person.photos:
        found["files"] = [files[photo.sha256] for photo in person.photos]
    elif person.embedding is not None:
        found["identity"] = files[person.embedding.sha256]
    else:
        found["identity"] = identities[person.identity]
    if person.face is not None:
        found["face"] = list(person.face) if isinstance(person.face, tuple) else person.face
    if person.box is not None:
        found["region"] = {"box": list(person.box)}
    elif person.mask is not None:
        found["region"] = {"mask": files[person.mask.sha256]}
    return found


def from_recipe(
    recipe: PictureRecipe, *, keep: Callable[[Path], Kept], model: str = ""
) -> NormalRequest:
    """The request that makes a picture again.

    What a preset could decide otherwise is said in full. LoRAs are tags in the prompt.

    Args:
        recipe: Of the picture.
        model: In place of the recipe's preset.
        keep: Keeps a picture that the recipe names.
    """
    generation = recipe.generation
    options = options_of_picture(generation, recipe.cfg_start_step)
    pictures: dict[str, tuple[Kept, ...]] = {}
    for name in PICTURES:
        value = getattr(generation, name)
        paths = value if name == "ref_images" else [] if value is None else [value]
        if paths:
            pictures[name] = tuple(keep(Path(path)) for path in paths)
    people = tuple(_of_recipe(person, keep) for person in recipe.people)
    return NormalRequest(model or recipe.preset, options, pictures, people)


def options_of_picture(generation: GenerationOptions, cfg_start_step: int | None) -> dict[str, Any]:
    """The options that a request says so that it makes a picture again; its pictures are left out.

    What a preset could decide otherwise is said in full. LoRAs are tags in the prompt.
    """
    options: dict[str, Any] = {}
    for name, fact in of(GenerationOptions).items():
        value = getattr(generation, name)
        if name in (*PICTURES, "loras", "batch_count"):
            continue
        if fact.preset or fact.always or name in ("prompt", "seed") or value != fact.default:
            options[name] = tuple(value) if isinstance(value, list) else value
    if cfg_start_step is not None:
        options["cfg_start_step"] = cfg_start_step
    return {name: value for name, value in options.items() if value is not None}


def _of_recipe(person: Person, keep: Callable[[Path], Kept]) -> PersonFields:
    options = {name: getattr(person, name) for name in of(Person)}
    region = person.region
    mask = None if region is None else region.mask
    return PersonFields(
        identity=person.identity.short_hash,  # type: ignore[union-attr]
        options={name: value for name, value in options.items() if value is not None},
        box=None if region is None or region.box is None else tuple(region.box),
        mask=None if mask is None else keep(Path(mask)),  # type: ignore[arg-type]
    )
