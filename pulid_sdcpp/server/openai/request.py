"""The bodies of OpenAI's `images/generations` and `images/edits` as fields of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...options.facts import option
from ...options.identity_mode import identity_weight
from ..bodies.typed_values import invalid, typed_fields, unwrapped_list
from ..errors import ApiError
from ..request.aliases import PERSON_NAMES
from ..request.body_fields import BodyFields, body_fields
from ..request.prompt_extras import with_extras

__all__ = ["EDIT_ROLES", "OpenaiRequest", "edits_request", "generations_request"]

EDIT_ROLES = ("auto", "identity", "init", "reference")
"""What the picture of an edit can be: the person, what to start from, or what to look at."""
MAX_IMAGES = 16
"""Of an edit."""

_SILENT = ("quality", "style", "moderation", "user", "safety_identifier", "background", "size",
           "response_format", "stream", "partial_images", "image_role", "input_fidelity", "image",
           "image[]", "images", "mask", "api-version")  # fmt: skip
_NOT_OURS = ("frame_count", "frame_duration_ms", "complexity", "svg", "markup")
"""Fields of other models' pictures."""
_SIZE = re.compile(r"(\d{1,5})\s*[xX]\s*(\d{1,5})", re.ASCII)
_LOW_FIDELITY = 0.2
"""So much below the model's own weight: 0.8 with Flux, 0.6 with SDXL."""
_SOURCES = ("identity", "embedding", "photo", "photos")


@dataclass(frozen=True)
class _OpenaiOwn:
    """What only OpenAI's bodies have."""

    response_format: str = option(
        "b64_json", "How pictures are in the answer.", choices=("b64_json", "url")
    )
    stream: bool = option(False, "Whether the answer is a stream of events.")
    partial_images: int = option(0, "Unfinished pictures in the stream.", low=0, high=3)
    image_role: str = option("auto", "What the picture of an edit is.", choices=EDIT_ROLES)
    input_fidelity: str = option(
        "high", "How much the person resembles the photo.", choices=("high", "low")
    )


@dataclass(frozen=True)
class OpenaiRequest:
    """A body of OpenAI's, understood.

    Attributes:
        fields: For `normalised_fields`.
        response_format: "b64_json" or "url".
        stream: Whether the answer is a stream of events.
        partial_images: How many unfinished pictures are in it, 0 to 3.
        has_mask: Whether there is a mask, of which what is transparent may change.
        image_role: Of EDIT_ROLES: what the picture of an edit is; "": it is no edit.
        image_param: What the field of that picture is called.
    """

    fields: BodyFields
    response_format: str = "b64_json"
    stream: bool = False
    partial_images: int = 0
    has_mask: bool = False
    image_role: str = ""
    image_param: str = ""


def generations_request(body: Mapping[str, Any], *, strict: bool = False) -> OpenaiRequest:
    """Understand a body of `images/generations`.

    Args:
        body: As JSON has it.
        strict: Whether what is not offered is an error.

    Raises:
        ApiError: Says what is wrong, and in which field.
    """
    return _request(body, {}, strict, outer=typed_fields(_OpenaiOwn, body))


def edits_request(
    body: Mapping[str, Any],
    *,
    default_role: str = "auto",
    takes_references: bool = False,
    encoders: Sequence[str] = (),
    strict: bool = False,
) -> OpenaiRequest:
    """Understand a body of `images/edits`.

    What its picture is, the request says by `image_role`, else the server by `default_role`. With
    "auto", it is what to start from if there is a mask or the person is given otherwise; what to
    look at, for a model that takes references; else the person. Nobody looks for a face here.

    Args:
        body: Of a form or JSON: `image` or `image[]` is a picture or a list of them; `images` a
            list of `{"image_url": ...}` or `{"file_id": ...}`; the latter stays as it is.
        default_role: Of EDIT_ROLES.
        takes_references: Whether the model is a Kontext model.
        encoders: Whose identities the model takes; its weight depends on them.
        strict: Whether what is not offered is an error.

    Raises:
        ApiError: Says what is wrong, and in which field.
    """
    own = typed_fields(_OpenaiOwn, body)
    param, pictures = _pictures_of(body)
    mask = _mask_of(body)
    role = default_role if own.image_role == "auto" else own.image_role
    if role == "auto":
        is_person_given = _says(body, "people", *_SOURCES)
        role = (
            "init" if mask or is_person_given else "reference" if takes_references else "identity"
        )
    said: dict[str, Any] = {}
    if role == "identity":
        said = _person(pictures, param)
        if body.get("input_fidelity") is not None and not _says(body, "weight"):
            low = round(identity_weight(encoders) - _LOW_FIDELITY, 2)
            said["weight"] = low if own.input_fidelity == "low" else None
    elif role == "reference":
        said["ref_images"] = pictures
    elif len(pictures) > 1:
        raise ApiError(
            "invalid_value",
            f"{param} has {len(pictures)} pictures, but a picture is made from one; give "
            "image_role identity or reference for several",
            param,
        )
    else:
        said["init_image"] = pictures[0]
    if mask and role != "init":
        raise ApiError(
            "invalid_value", "mask needs a picture to start from; give image_role init", "mask"
        )
    if mask:
        said["mask_image"] = mask
    found = _request(body, said, strict, outer=own)
    renamed = {"ref_images": param, "init_image": param, "mask_image": "mask"}
    names = {name: renamed[name] for name in said if name in renamed}
    fields = replace(found.fields, params={**found.fields.params, **names})
    return replace(found, fields=fields, has_mask=bool(mask), image_role=role, image_param=param)


def _request(
    body: Mapping[str, Any], said: Mapping[str, Any], strict: bool, *, outer: _OpenaiOwn
) -> OpenaiRequest:
    _check_offered(body)
    size = _size(body.get("size"))
    ignored = {*_SILENT, *_NOT_OURS} - set(said)
    fields = body_fields({**body, **size, **said}, ignored=ignored, strict=strict)
    fields = replace(fields, params={**fields.params, **dict.fromkeys(size, "size")})
    return OpenaiRequest(
        with_extras(fields, strict=strict),
        outer.response_format,
        outer.stream,
        outer.partial_images,
    )


def _check_offered(body: Mapping[str, Any]) -> None:
    for name in _NOT_OURS:
        if body.get(name) is not None:
            raise _not_offered(name, "leave it out")
    if body.get("background") == "transparent":
        raise _not_offered("background transparent", "give opaque or auto", "background")
    if body.get("output_format") in ("gif", "svg"):
        format_name = body["output_format"]
        raise _not_offered(f"output_format {format_name}", "give png, jpeg or webp",
                           "output_format")  # fmt: skip


def _not_offered(what: str, instead: str, param: str | None = None) -> ApiError:
    message = f"{what} is not offered; {instead}"
    return ApiError("unsupported", message, param or what, status=400)


def _size(value: Any) -> dict[str, int]:
    if value is None or value in ("auto", ""):
        return {}
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise invalid("size", value, 'WIDTHxHEIGHT, such as "1024x768", or "auto"')
    return {"width": int(found[1]), "height": int(found[2])}


def _pictures_of(body: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The pictures of an edit, and what the field is called."""
    found = [name for name in ("image", "image[]", "images") if body.get(name)]
    if len(found) > 1:
        raise ApiError("invalid_value", f"{' and '.join(found)} are given; give one", found[1])
    if not found:
        raise ApiError("invalid_value", "image is missing; give the picture to edit", "image")
    param = found[0]
    value = body[param]
    several = value if isinstance(value, list | tuple) else [value]
    pictures = unwrapped_list(several, param, MAX_IMAGES)
    return param, [_picture(one, f"{param}[{number}]") for number, one in enumerate(pictures)]


def _picture(value: Any, param: str) -> Any:
    """What a picture is: `image_url` is the picture itself, `file_id` stays for who knows it."""
    if not isinstance(value, Mapping):
        return value
    said = {name: one for name, one in value.items() if one is not None}
    if len(said) != 1 or next(iter(said)) not in ("image_url", "file_id"):
        raise invalid(param, list(said), "an object with image_url or file_id")
    return said.get("image_url", value if "file_id" in said else None)


def _mask_of(body: Mapping[str, Any]) -> Any:
    mask = body.get("mask")
    return _picture(mask, "mask") if mask else None


def _person(pictures: list[Any], param: str) -> dict[str, Any]:
    """The person of photos, or of one who is kept."""
    kept = [one for one in pictures if isinstance(one, Mapping)]
    if not kept:
        return {"photo": pictures[0]} if len(pictures) == 1 else {"photos": pictures}
    if len(pictures) > 1:
        raise ApiError("identity_conflict", f"{param} has a file_id beside others; give one", param)
    return {"identity": kept[0]["file_id"]}


def _says(body: Mapping[str, Any], *fields: str) -> bool:
    """Whether a body, or its `pulid`, says one of a person's fields, or has people."""
    pulid = body.get("pulid")
    names = [name for name in (*PERSON_NAMES, "people") if PERSON_NAMES.get(name, name) in fields]
    places = (body, pulid) if isinstance(pulid, Mapping) else (body,)
    return any(place.get(name) not in (None, "", []) for place in places for name in names)
