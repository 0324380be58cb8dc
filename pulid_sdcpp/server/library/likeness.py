"""How much the faces of a picture are like the people who are meant to be in it.

A likeness is a cosine between what a face recogniser has for a face and for a person: there is no
fixed limit above which it is the same person, so the likeness to other people stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KnownFace", "likeness_json", "mean_reference"]

_DIGITS = 4
Embeddings = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class KnownFace:
    """Whom a face may be like.

    Attributes:
        id: `Identity.short_hash`.
        references: (n,) float32 by recogniser; empty: nobody knows how the person looks.
    """

    id: str
    references: Embeddings = field(default_factory=dict, repr=False)


def mean_reference(embeddings: Sequence[Embeddings]) -> dict[str, NDArray[np.float32]]:
    """What stands for a person's face on several photos: the mean of the directions, length 1.

    Only recognisers that know every photo are in it.
    """
    names = set(embeddings[0]).intersection(*embeddings[1:]) if embeddings else set()
    found = {}
    for name in sorted(names):
        mean = np.mean([_direction(one[name]) for one in embeddings], axis=0)
        found[name] = _direction(mean).astype(np.float32)
    return found


def likeness_json(
    faces: Sequence[Embeddings],
    people: Sequence[KnownFace],
    others: Sequence[KnownFace],
    *,
    recogniser: str,
    judge: str = "",
) -> dict[str, Any]:
    """What a picture's measurement says.

    Each person gets the face that is most like them, and none gets two: the surest pair first.

    Args:
        faces: Of the picture.
        people: Who is meant to be in it.
        others: Everybody whom the owner keeps; people of the picture are passed over.
        recogniser: The name of the one that extraction uses; it decides who is who.
        judge: The name of one that extraction never uses; "": there is none.

    Returns:
        `faces`, their number; `people`, in order, with `id`, `similarity` and `judge` (cosines, or
        None where there is nothing to compare), and `best_other`, who else is most like that face;
        `none` where there is no face.
    """
    cosines = {
        (number, index): cosine
        for number, person in enumerate(people)
        for index, face in enumerate(faces)
        if (cosine := _cosine(face, person.references, recogniser)) is not None
    }
    face_of: dict[int, int] = {}
    for number, index in sorted(cosines, key=lambda pair: -cosines[pair]):
        if number not in face_of and index not in face_of.values():
            face_of[number] = index
    if len(people) == len(faces) == 1:  # also where nobody knows how the person looks
        face_of[0] = 0
    meant = {person.id for person in people}
    strangers = [other for other in others if other.id not in meant]
    rows = []
    for number, person in enumerate(people):
        place = face_of.get(number)
        face: Embeddings = {} if place is None else faces[place]
        rows.append(
            {
                "id": person.id,
                "similarity": _rounded(_cosine(face, person.references, recogniser)),
                "judge": _rounded(_cosine(face, person.references, judge)),
                "best_other": _best_other(face, strangers, recogniser),
            }
        )
    found: dict[str, Any] = {"faces": len(faces), "people": rows}
    if not faces:
        found["none"] = True
    return found


def _best_other(
    face: Embeddings, strangers: Sequence[KnownFace], recogniser: str
) -> dict[str, Any] | None:
    found = [
        (cosine, other.id)
        for other in strangers
        if (cosine := _cosine(face, other.references, recogniser)) is not None
    ]
    if not found:
        return None
    cosine, its_id = max(found)
    return {"id": its_id, "similarity": _rounded(cosine)}


def _cosine(first: Embeddings, second: Embeddings, recogniser: str) -> float | None:
    if recogniser not in first or recogniser not in second:
        return None
    one, other = first[recogniser], second[recogniser]
    if one.shape != other.shape:
        return None
    return float(_direction(one) @ _direction(other))


def _direction(row: NDArray[Any]) -> NDArray[np.float64]:
    wide = np.asarray(row, np.float64).reshape(-1)
    length = float(np.linalg.norm(wide))
    return wide / length if length else wide


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
