"""A person of a request: whose face, how strongly, when and where, nothing of it read yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...identity.face_choice import FaceChoice

__all__ = ["Kept", "PersonFields", "PersonLimits", "Readers", "is_said", "person_json"]


class Kept(Protocol):
    """Something that came with a request and is kept with its job, under its hash."""

    @property
    def sha256(self) -> str:
        """Of its bytes, in hex digits."""


@dataclass(frozen=True)
class Readers:
    """What reads the fields that are no plain values.

    Each takes the value and what the client calls the field, and raises `ApiError`.

    Attributes:
        picture: A picture to start from, to follow, or to look at; it has `width` and `height`.
        mask: A mask.
        photo: A photo of a person.
        embedding: A file `.pulidembd`.
    """

    picture: Callable[[Any, str], Any]
    mask: Callable[[Any, str], Kept]
    photo: Callable[[Any, str], Kept]
    embedding: Callable[[Any, str], Kept]


class PersonLimits(Protocol):
    """The limits that concern people."""

    @property
    def max_people(self) -> int: ...

    @property
    def max_photos(self) -> int: ...


@dataclass(frozen=True)
class PersonFields:
    """A person of a request. Exactly one of identity, embedding and photos is there.

    Attributes:
        identity: The id or the name of a kept identity.
        embedding: An identity file that came along.
        photos: Photos that came along.
        face: Which face of each photo; None: nothing is said.
        options: Weight, steps and fusion, as far as they are said: fields of `PersonSpec`.
        box: The region, in parts or pixels, or None.
        mask: The region's mask, or None.
        name: What the person is called, or "".
    """

    identity: str = ""
    embedding: Kept | None = None
    photos: tuple[Kept, ...] = ()
    face: FaceChoice | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    box: tuple[float, ...] | None = None
    mask: Kept | None = None
    name: str = ""

    @property
    def kept(self) -> tuple[Kept, ...]:
        """All that came along."""
        return (*self.photos, *(one for one in (self.embedding, self.mask) if one is not None))


def is_said(value: Any) -> bool:
    """Whether a field says something: forms send empty ones along."""
    return value is not None and not (isinstance(value, str | list | Mapping) and not value)


def person_json(person: PersonFields) -> dict[str, Any]:
    """The person as an object of `people`; what came along is named by its hash."""
    region: dict[str, Any] = {}
    if person.box is not None:
        region = {"box": list(person.box)}
    elif person.mask is not None:
        region = {"mask": f"sha256:{person.mask.sha256}"}
    fields: dict[str, Any] = {
        "name": person.name,
        "identity": person.identity,
        "embedding": person.embedding and f"sha256:{person.embedding.sha256}",
        "photos": [f"sha256:{photo.sha256}" for photo in person.photos],
        "face": list(person.face) if isinstance(person.face, tuple) else person.face,
        **person.options,
        "region": region,
    }
    return {name: value for name, value in fields.items() if is_said(value)}
