"""The people in a request's body: whose face, how strongly, when and where.

One person may stand in the body itself or in its `pulid`, several in `people`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ...identity.face_choice import FaceChoice
from ...options.facts import of
from ...people.person_spec import PersonSpec
from ...people.region import Region
from ...terminal_text import meant, shown
from ..bodies.safe_names import name_of_person, person_in_path
from ..bodies.typed_values import invalid, refused, typed, unwrapped_list
from ..errors import ApiError
from .aliases import NAMES, PERSON_NAMES
from .person_fields import Kept, PersonFields, PersonLimits, Readers, is_said

__all__ = ["people_in"]


_SOURCES = ("identity", "embedding", "photo", "photos")
_OPTIONS = ("weight", "start_step", "end_step", "fusion")
_IN_PEOPLE = MappingProxyType({**PERSON_NAMES, "name": "name"})
_OF_THE_PICTURE = tuple(name for name, option in NAMES.items() if option == "cfg_start_step")
"""What `pulid` may have beside a person: the picture's."""


def people_in(
    body: Mapping[str, Any], readers: Readers, limits: PersonLimits | None
) -> tuple[tuple[PersonFields, ...], dict[str, Any]]:
    """The people of a body, and the picture's options that its `pulid` has.

    Args:
        body: Names of PERSON_NAMES, `people` and `pulid` are read; others are passed over.
        readers: For photos, embeddings and masks.
        limits: None: there are none.

    Returns:
        The people, and options of the picture by the client's name.

    Raises:
        ApiError: "identity_conflict", "identity_without_person", "unknown_field",
            "invalid_value", "unsupported"; or as the readers.
    """
    single = {name: body[name] for name in PERSON_NAMES if is_said(body.get(name))}
    pulid = body.get("pulid")
    if pulid is not None and not isinstance(pulid, Mapping):
        raise invalid("pulid", pulid, "an object")
    several, several_at = body.get("people"), "people"
    of_picture: dict[str, Any] = {}
    for name, value in (pulid or {}).items():
        if name == "people":
            if is_said(value) and is_said(several):
                raise ApiError("identity_conflict", "people are in the body and in pulid", "people")
            several, several_at = (value, "pulid.people") if is_said(value) else (several, "people")
        elif name in ("true_cfg", *_OF_THE_PICTURE):
            of_picture[name] = value
        elif name not in _IN_PEOPLE:
            _unknown(name, "pulid.", [*_IN_PEOPLE, "people", "true_cfg", *_OF_THE_PICTURE])
        elif is_said(value):
            single[f"pulid.{name}"] = value
    if not is_said(several):
        person = _person(single, "", readers, limits) if single else None
        return (() if person is None else (person,)), of_picture
    if single:
        raise ApiError(
            "identity_conflict",
            f"{next(iter(single))} is given beside people; put it into one of them",
            next(iter(single)),
        )
    people = unwrapped_list(several, several_at, limits.max_people if limits else 10**6)
    found = []
    for number, one in enumerate(people):
        place = f"{several_at}[{number}]"
        if not isinstance(one, Mapping):
            raise invalid(place, one, "an object")
        for name in one:
            if name not in _IN_PEOPLE:
                _unknown(name, f"{place}.", list(_IN_PEOPLE))
        said = {f"{place}.{name}": value for name, value in one.items() if is_said(value)}
        found.append(_person(said, place, readers, limits))
    return tuple(found), of_picture


def _unknown(name: str, place: str, known: Sequence[str]) -> None:
    raise ApiError(
        "unknown_field",
        f"there is no field {shown(place + name)}; {meant(name, sorted(known))}",
        place + name,
    )


def _person(
    said: Mapping[str, Any], place: str, readers: Readers, limits: PersonLimits | None
) -> PersonFields:
    """A person of fields by the client's names."""
    values: dict[str, Any] = {}
    params: dict[str, str] = {}
    for param, value in said.items():
        name = _IN_PEOPLE[param.rpartition(".")[2]]
        if name in values:
            raise ApiError(
                "identity_conflict", f"{params[name]} and {param} say the same; give one", param
            )
        values[name], params[name] = value, param
    sources = [name for name in _SOURCES if name in values]
    if not sources:
        first = next(iter(said), place)
        raise ApiError(
            "identity_without_person",
            f"{first} is given without a person; add identity, embedding or photo",
            first,
        )
    if len(sources) > 1:
        both = " and ".join(params[name] for name in sources)
        raise ApiError(
            "identity_conflict", f"{both} are given; a person has one of them", params[sources[1]]
        )
    source = sources[0]
    value, param = values[source], params[source]
    photos: tuple[Kept, ...] = ()
    if source == "photo":
        photos = (readers.photo(value, param),)
    elif source == "photos":
        several = unwrapped_list(value, param, limits.max_photos if limits else 10**6)
        photos = tuple(readers.photo(one, f"{param}[{i}]") for i, one in enumerate(several))
    facts = of(PersonSpec)
    box, mask = _region(values.get("region"), params.get("region", ""), readers)
    return PersonFields(
        identity=_identity(value, param) if source == "identity" else "",
        embedding=readers.embedding(value, param) if source == "embedding" else None,
        photos=photos,
        face=_face(values["face"], params["face"], len(photos)) if "face" in values else None,
        options={
            name: typed(facts[name], values[name], params[name])
            for name in _OPTIONS
            if name in values
        },
        box=box,
        mask=mask,
        name=_name(values["name"], params["name"]) if "name" in values else "",
    )


def _identity(value: Any, param: str) -> str:
    """An id or a name; forks of sd-server and their front ends name a file of the server's."""
    if param.rpartition(".")[2] == "pulid_id_embedding_path":
        plain = value.removesuffix(".safetensors") if isinstance(value, str) else value
        return person_in_path(plain, param=param)
    return name_of_person(value.strip() if isinstance(value, str) else value, param=param)


def _name(value: Any, param: str) -> str:
    """What the person is called; of mold's labels, one a photo and often its file, the first."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        value = value.strip()
        if param.rpartition(".")[2] != "name":
            value = re.sub(r"\.\w{2,5}$", "", value)
    return name_of_person(value, param=param)


def _face(value: Any, param: str, photos: int) -> FaceChoice:
    if not photos:
        raise ApiError(
            "invalid_value",
            f"{param} chooses on a photo, and there is none; leave it out",
            param,
        )
    fact = of(PersonSpec)["face"]
    if not isinstance(value, list) or _is_box(value):
        choice: FaceChoice = typed(fact, value, param)
        return choice
    if len(value) != photos:
        raise ApiError(
            "invalid_value",
            f"{param} has {len(value)} choices for {photos} photos; give one, or one for each",
            param,
        )
    choices = [typed(fact, one, f"{param}[{number}]") for number, one in enumerate(value)]
    if any(choice != choices[0] for choice in choices):
        raise ApiError(
            "unsupported",
            f"{param}: all photos of a person need the same choice; cut out the faces instead",
            param,
        )
    only: FaceChoice = choices[0]
    return only


def _is_box(value: Sequence[Any]) -> bool:
    return len(value) == 4 and all(isinstance(number, int | float) for number in value)


def _region(
    value: Any, param: str, readers: Readers
) -> tuple[tuple[float, ...] | None, Kept | None]:
    if value is None:
        return None, None
    if not isinstance(value, Mapping):
        raise invalid(param, value, 'an object, {"box": [x, y, width, height]} or {"mask": ...}')
    for name in value:
        if name not in ("box", "mask"):
            _unknown(name, f"{param}.", ["box", "mask"])
    said = {name: one for name, one in value.items() if is_said(one)}
    if len(said) != 1:
        raise invalid(param, list(said), "either a box or a mask")
    if "mask" in said:
        return None, readers.mask(said["mask"], f"{param}.mask")
    box = said["box"]
    try:
        found = Region(tuple(box) if isinstance(box, list | tuple) else box).box
    except ValueError as error:
        raise refused(error, f"{param}.box", {}) from None
    return found, None
