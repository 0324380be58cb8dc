"""From the text in a picture to the request that makes it again: ours, and other programs'."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...pictures.parameters import (
    PROGRAM,
    SHEET,
    context_values_from,
    file_names_from,
    generation_options_from,
    identity_values_from,
    image_names_from,
)
from ...pictures.people_text import DescribedPerson, people_from
from ...pictures.png_text import PictureText, parse_text
from ...pictures.recipe import PictureRecipe
from ..errors import ApiError
from ..request.foreign_text import foreign_request
from ..request.normal_request import NormalRequest
from ..request.person_fields import PersonFields
from ..request.request_forms import options_of_picture

__all__ = ["MissingFile", "ReadRecipe", "recipe_in_text"]

_ROLES = {
    "init": "init_image",
    "mask": "mask_image",
    "ref": "ref_images",
    "control": "control_image",
}


@dataclass(frozen=True)
class MissingFile:
    """A picture that a request needs, and a text only names.

    Attributes:
        field: Of the request.
        name: Of the file, without folders; "" if it is not known.
    """

    field: str
    name: str = ""


@dataclass(frozen=True)
class ReadRecipe:
    """What a picture's text says.

    Attributes:
        request: That makes it again, without the files that are missing.
        people: Ids of the people.
        files_missing: Pictures that it was made from.
        version: Of the program that made it.
        foreign: Whether another program made it, so that it will look otherwise.
        notes: What of a foreign text is not taken.
        ours: For comparing with a model that is here; None: a foreign text.
    """

    request: NormalRequest
    people: tuple[str, ...] = ()
    files_missing: tuple[MissingFile, ...] = ()
    version: str = ""
    foreign: bool = False
    notes: tuple[str, ...] = ()
    ours: PictureRecipe | None = field(default=None, repr=False)


def recipe_in_text(text: str | None) -> ReadRecipe:
    """Understand a picture's text.

    Args:
        text: Of the picture; None: it has none.

    Raises:
        ApiError: "no_recipe": there is none, it is damaged, or a contact sheet's.
    """
    parsed = None if text is None else parse_text(text)
    if text is None or parsed is None or not parsed.values:
        raise ApiError("no_recipe", "the picture does not say how it was made", "image")
    if SHEET in parsed.values or text.startswith(SHEET.lower()):
        raise ApiError("no_recipe", "this is a contact sheet; give one of its pictures", "image")
    if parsed.values.get("Version", "").startswith(PROGRAM):
        return _own(parsed)
    request, notes, starts_from = foreign_request(parsed)
    return ReadRecipe(
        request,
        files_missing=(MissingFile("init_image"),) if starts_from else (),
        version=parsed.values.get("Version", ""),
        foreign=True,
        notes=notes,
    )


def _own(text: PictureText) -> ReadRecipe:
    try:
        generation = generation_options_from(text)
        described = people_from(text)
        cfg_start_step = identity_values_from(text).get("cfg_start_step")
        context = context_values_from(text)
        images = image_names_from(text)
    except ValueError as error:
        raise ApiError("no_recipe", str(error), "image") from None
    missing = [
        MissingFile(_ROLES[role], name) for role, several in images.items() for name, _ in several
    ]
    missing += [
        MissingFile(f"people[{number}].region.mask", one.mask[0])
        for number, one in enumerate(described)
        if one.mask is not None
    ]
    ours = PictureRecipe(
        text=text,
        preset=text.values.get("Preset", ""),
        generation=generation,
        people=(),
        spans=tuple(one.span for one in described),
        cfg_start_step=cfg_start_step,
        context=context,
        files=file_names_from(text),
        version=text.values["Version"].removeprefix(PROGRAM).strip(),
    )
    request = NormalRequest(
        ours.preset,
        options_of_picture(generation, cfg_start_step),
        people=tuple(_person(one) for one in described),
    )
    return ReadRecipe(
        request,
        people=tuple(one.identity_hash for one in described),
        files_missing=tuple(missing),
        version=ours.version,
        ours=ours,
    )


def _person(described: DescribedPerson) -> PersonFields:
    return PersonFields(
        identity=described.identity_hash, options=dict(described.span), box=described.box
    )
