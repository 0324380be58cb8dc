"""The bodies of requests as JSON schemas, made of the facts of options: there is no second list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

from ...options.facts import Fact, of
from ...options.generation import MAX_SEED, GenerationOptions
from ...people.identity_options import IdentityOptions
from ...people.person_spec import PersonSpec
from ..request.aliases import PAIRS, PICTURES, PLACES
from ..request.delivery import DeliveryOptions

__all__ = ["body_schemas", "schema_of_fact"]

_INT_MAX = 2**31 - 1
_FILE = {"type": "string", "contentEncoding": "base64"}
_SAME = ("prompt", "negative_prompt", "width", "height", "seed")
"""What A1111 calls as sd-server does."""
_NUMBERS = {"whole": "integer", "number": "number"}


def _object(properties: Mapping[str, Any], *required: str, more: bool = True) -> dict[str, Any]:
    found = {"type": "object", "properties": dict(properties), "additionalProperties": more}
    return {**found, "required": list(required)} if required else found


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _file(description: str) -> dict[str, Any]:
    return {**_FILE, "description": description}


def _files(description: str) -> dict[str, Any]:
    return {"type": "array", "items": _FILE, "description": description}


def schema_of_fact(fact: Fact) -> dict[str, Any]:
    """The values that an option can have, as a JSON schema."""
    found = {**_kind_of(fact), "description": fact.help}
    has_default = fact.default is not MISSING and fact.default not in (None, (), "")
    if has_default and not fact.preset and fact.kind != "step":
        found["default"] = fact.default
    elif fact.preset:
        found["description"] = f"{fact.help} Else the preset's."
    return found


def _kind_of(fact: Fact) -> dict[str, Any]:
    if fact.kind == "switch":
        return {"type": "boolean"}
    if fact.kind in _NUMBERS:
        found: dict[str, Any] = {"type": _NUMBERS[fact.kind]}
        if fact.low > -_INT_MAX:
            found["minimum"] = fact.low
        if fact.high < _INT_MAX:
            found["maximum"] = fact.high
        return found
    if fact.kind == "choice":
        return {"type": "string", "enum": list(fact.choices)}
    if fact.kind in ("numbers", "whole numbers"):
        kind = "integer" if fact.kind.startswith("whole") else "number"
        return {"type": "array", "items": {"type": kind}}
    if fact.kind == "texts":
        return {"type": "array", "items": {"type": "string"}}
    if fact.kind == "picture":
        return dict(_FILE)
    if fact.kind == "pictures":
        return {"type": "array", "items": _FILE}
    if fact.kind == "step":
        return {"type": "number", "minimum": 0}
    if fact.kind == "face":
        box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
        return {"anyOf": [{"type": "string"}, {"type": "integer"}, box]}
    return {"type": "string", "maxLength": fact.max_chars}


def _picture_options() -> dict[str, Any]:
    """Where each option stands in a body, objects in objects."""
    facts = of(GenerationOptions)
    properties: dict[str, Any] = {}

    def put(place: str, schema: dict[str, Any]) -> None:
        *groups, last = place.split(".")
        inner = properties
        for group in groups:
            inner = inner.setdefault(group, _object({}))["properties"]
        inner[last] = schema

    for name, place in PLACES.items():
        fact = facts.get(name) or of(IdentityOptions)[name]
        if name == "loras":
            lora = _object({"name": _text("Its file's name."), "multiplier": {"type": "number"}})
            put(place, {"type": "array", "items": lora, "description": fact.help})
        elif name == "seed":
            number = {"type": "integer", "minimum": -1, "maximum": MAX_SEED, "default": -1}
            put(place, {**number, "description": "Seed of the noise; -1: a random one."})
        elif name in PICTURES:
            put(place, {**_kind_of(fact), "description": fact.help})
        else:
            put(place, schema_of_fact(fact))
    for name, places in PAIRS.items():
        kind = "integer" if facts[name].kind.startswith("whole") else "number"
        for place in places:
            put(place, {"type": kind, "description": facts[name].help})
    return properties


def _person() -> dict[str, Any]:
    facts = of(PersonSpec)
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4,
           "description": "x, y, width, height: parts of the picture, or pixels."}  # fmt: skip
    region = _object({"box": box, "mask": _file("White is the person's place.")})
    return {
        "identity": _text("A kept person, by name or id."),
        "embedding": _file("An identity file (.pulidembd)."),
        "photo": _file("A photo of the person."),
        "photos": _files("Several photos of the person."),
        **{name: schema_of_fact(facts[name]) for name in facts},
        "region": {**region, "description": "Where the person is; without it, everywhere."},
        "name": _text("What the person is called."),
    }


def body_schemas() -> dict[str, dict[str, Any]]:
    """The schemas by name, as `components/schemas` of an OpenAPI document has them."""
    person = _person()
    people = {"type": "array", "items": {"$ref": "#/components/schemas/Person"}}
    one = {name: schema for name, schema in person.items() if name != "name"}
    delivery = {name: schema_of_fact(fact) for name, fact in of(DeliveryOptions).items()}
    picture = {
        "model": _text("A preset; else the server's."),
        **_picture_options(),
        **one,
        "people": {**people, "description": "Several people, instead of one at this level."},
        **delivery,
    }
    openai = {
        "n": {"type": "integer", "minimum": 1, "description": "How many pictures."},
        "size": _text('"WIDTHxHEIGHT", or "auto".'),
        "response_format": _text("How pictures are in the answer.", enum=["b64_json", "url"]),
        "stream": {"type": "boolean", "description": "Answer with server-sent events."},
        "partial_images": {"type": "integer", "minimum": 0, "maximum": 3,
                           "description": "Unfinished pictures in the stream."},
    }  # fmt: skip
    edit = {
        "image": _files("The picture: of the person, to start from, or to look at."),
        "mask": _file("What is transparent may change."),
        "image_role": _text("What the picture is.",
                            enum=["auto", "identity", "init", "reference"]),
    }  # fmt: skip
    a1111 = {
        "steps": picture["sample_params"]["properties"]["sample_steps"],
        "sampler_name": _text("A1111's name of a sampler."),
        "scheduler": _text("A1111's name of a scheduler."),
        "distilled_cfg_scale": {"type": "number", "description": "The guidance of Flux."},
        "cfg_scale": {"type": "number", "description": "Not used, unless the server says so."},
        "batch_size": {"type": "integer", "minimum": 1},
        "n_iter": {"type": "integer", "minimum": 1},
        "alwayson_scripts": _object({"pulid": _object({"args": people})}),
        **{name: picture[name] for name in _SAME},
        **one,
        "people": picture["people"],
    }
    start = {"init_images": _files("The picture to start from."),
             "mask": _file("White is what changes."),
             "denoising_strength": {"type": "number", "minimum": 0, "maximum": 1}}  # fmt: skip
    kept = {
        **{name: person[name] for name in ("photo", "photos", "face", "fusion", "embedding")},
        "name": _text("A name that the person is kept by.", maxLength=100),
        "model": _text("The model that the identity is for; the server's own without it."),
    }
    grid = {
        "person": {
            "anyOf": [_text("A kept person."), {"$ref": "#/components/schemas/Person"}],
            "description": "Who is in all pictures.",
        },
        "people": {**people, "description": "Several people, instead of person."},
        "prompts": {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "maxItems": 16},
                {"const": "default"},
            ],
            "default": "default",
            "description": "One column each.",
        },
        "seeds": {"type": "array", "items": picture["seed"], "maxItems": 8},
        "weights": {"type": "array", "items": person["weight"], "maxItems": 5},
        "request": {
            "$ref": "#/components/schemas/PictureRequest",
            "description": "What all pictures share; it needs no prompt.",
        },
    }
    pull = {
        "accept_licenses": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Keys of the licenses that forbid commercial use, and are accepted.",
        },
        "photos": {
            "type": "boolean",
            "default": True,
            "description": "Fetch also the files that only photos need.",
        },
    }
    return {
        "Person": _object(person, more=False),
        "PictureRequest": _object(picture, "prompt"),
        "OpenaiGeneration": _object({**picture, **openai}, "prompt"),
        "OpenaiEdit": _object({**picture, **openai, **edit}, "prompt"),
        "A1111Txt2img": _object(a1111, "prompt"),
        "A1111Img2img": _object({**a1111, **start}, "prompt", "init_images"),
        "KeptPerson": _object(kept, more=False),
        "Photo": _object({"photo": person["photo"]}, "photo"),
        "Grid": _object(grid, more=False),
        "PullPreset": _object(pull, more=False),
    }
