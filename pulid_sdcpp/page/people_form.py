"""The cards' values as people of a request's body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..server.errors import ApiError
from . import texts
from .card_choices import example_portrait, name_of_example
from .person_photo import PersonPhoto

__all__ = ["CARD_VALUES", "people_in_form"]

CARD_VALUES = ("who", "weight", "start_step", "end_step", "name")
"""What a card has of values that are remembered."""


def people_in_form(
    values: Sequence[Any],
    photos: Sequence[PersonPhoto],
    shown: Sequence[bool],
    boxes: Mapping[int, Sequence[float]],
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The people of a body, and the files that it names.

    Args:
        values: `CARD_VALUES` of each card, one after another.
        photos, shown: The states.
        boxes: Places of people, by card.

    Raises:
        ApiError: no_face.
    """
    people: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, is_shown in enumerate(shown):
        one = dict(zip(CARD_VALUES, values[number * len(CARD_VALUES) :], strict=False))
        photo = photos[number]
        if not is_shown or (not one["who"] and not photo.is_somebody):
            continue
        place = f"people[{len(people)}]"
        person: dict[str, Any] = {
            "weight": one["weight"],
            "start_step": int(one["start_step"] or 0),
        }
        if one["end_step"] is not None:
            person["end_step"] = int(one["end_step"])
        if one["name"] and not one["who"]:
            person["name"] = one["name"].strip()
        if (example := example_portrait(one["who"] or "")) is not None:
            files[f"photo_{number}"] = example
            person |= {"photo": f"file:photo_{number}", "name": name_of_example(one["who"])}
        elif one["who"]:
            person["identity"] = one["who"]
        elif photo.embedding:
            files[f"embedding_{number}"] = photo.embedding
            person["embedding"] = f"file:embedding_{number}"
        else:
            if photo.has_no_face:
                raise ApiError("no_face", texts.NO_FACE, f"{place}.photo")
            assert photo.picture is not None
            files[f"photo_{number}"] = photo.picture.png
            person["photo"] = f"file:photo_{number}"
            if photo.looked_at is not None:
                person["face"] = photo.face
        if photo.mask:
            files[f"mask_{number}"] = photo.mask
            person["region"] = {"mask": f"file:mask_{number}"}
        elif number in boxes:
            person["region"] = {"box": list(boxes[number])}
        people.append(person)
    return people, files
