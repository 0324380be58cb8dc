"""Who is drawn: what stays the same from picture to picture of one person."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from .palette import EYES, GLASSES

__all__ = [
    "BEARDS",
    "FRAMES",
    "HAIRSTYLES",
    "IDENTITY_DIM",
    "MOLES",
    "Person",
    "identity_vector",
    "person_from",
    "sample_person",
]

HAIRSTYLES = (
    "bald",
    "buzz",
    "short",
    "side part",
    "spiky",
    "bob",
    "long",
    "afro",
    "mohawk",
    "bun",
    "curly",
    "pigtails",
)
FRAMES = ("none", "round", "square", "shades")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
MOLES = ("none", "left cheek", "right cheek", "chin")

_HAIRSTYLE_SHARES = (0.07, 0.07, 0.11, 0.1, 0.08, 0.11, 0.11, 0.08, 0.06, 0.07, 0.07, 0.07)
_HAIR_SHARES = (0.16, 0.14, 0.12, 0.12, 0.13, 0.09, 0.08, 0.08, 0.08)
_FRAME_SHARES = (0.52, 0.18, 0.18, 0.12)
_BEARD_SHARES = (0.56, 0.08, 0.13, 0.11, 0.12)
_MOLE_SHARES = (0.73, 0.09, 0.09, 0.09)


@dataclass(frozen=True)
class Person:
    """One person. Numbers are 0..1 from the least to the most, unless their comment says else.

    Attributes:
        hairstyle, hair, eyes, frames, frame_color, beard, mole: Index into HAIRSTYLES,
            `palette.HAIR`, `palette.EYES`, FRAMES, `palette.GLASSES`, BEARDS, MOLES.
        freckles, blush, earrings, parting: Whether there are any; parting is the side (right?).
    """

    skin: float
    face_width: float
    face_height: float
    jaw: float
    chin: float
    ear_size: float
    hairstyle: int
    hair: int
    hair_volume: float
    fringe: float
    parting: bool
    eyes: int
    eye_size: float
    eye_height: float
    eye_spacing: float
    eye_slant: float
    brow_thickness: float
    brow_angle: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_thickness: float
    lip_color: float
    frames: int
    frame_color: int
    beard: int
    freckles: bool
    blush: bool
    mole: int
    earrings: bool

    @property
    def hairstyle_name(self) -> str:
        return HAIRSTYLES[self.hairstyle]

    @property
    def frames_name(self) -> str:
        return FRAMES[self.frames]

    @property
    def beard_name(self) -> str:
        return BEARDS[self.beard]

    @property
    def mole_name(self) -> str:
        return MOLES[self.mole]


_CHOICES = {
    "hairstyle": _HAIRSTYLE_SHARES,
    "hair": _HAIR_SHARES,
    "eyes": (1 / len(EYES),) * len(EYES),
    "frames": _FRAME_SHARES,
    "frame_color": (1 / len(GLASSES),) * len(GLASSES),
    "beard": _BEARD_SHARES,
    "mole": _MOLE_SHARES,
}
_CHANCES = {"freckles": 0.18, "blush": 0.2, "earrings": 0.22, "parting": 0.5}


def sample_person(rng: np.random.Generator) -> Person:
    """Anybody; the same generator state gives the same person."""
    values: dict[str, float | int | bool] = {}
    for field in fields(Person):
        if field.name in _CHOICES:
            shares = np.array(_CHOICES[field.name])
            values[field.name] = int(rng.choice(len(shares), p=shares / shares.sum()))
        elif field.name in _CHANCES:
            values[field.name] = bool(rng.random() < _CHANCES[field.name])
        else:
            values[field.name] = float(rng.random())
    return Person(**values)  # type: ignore[arg-type]


def identity_vector(person: Person) -> np.ndarray:
    """What there is to know about a person, as numbers: (IDENTITY_DIM,) float32, about -1..1.

    What cannot be seen is zero: the eyes behind shades, the colour of hair on a shaven head
    without brows of that colour, frames that are not worn.
    """
    seen = _visible(person)
    numbers: list[float] = []
    for field in fields(Person):
        value = getattr(person, field.name)
        share = seen.get(field.name, 1.0)
        if field.name in _CHOICES:
            numbers += [share * (value == k) for k in range(len(_CHOICES[field.name]))]
        elif field.name in _CHANCES:
            numbers.append(share * float(value))
        else:
            numbers.append(share * (2 * value - 1))
    return np.array(numbers, np.float32)


def person_from(vector: np.ndarray) -> Person:
    """Somebody who looks as the vector says: the reverse of `identity_vector`.

    What cannot be seen comes out in the middle, or as the first choice.
    """
    values: dict[str, float | int | bool] = {}
    start = 0
    for field in fields(Person):
        width = len(_CHOICES.get(field.name, (0,)))
        part = vector[start : start + width]
        start += width
        if field.name in _CHOICES:
            values[field.name] = int(part.argmax())
        elif field.name in _CHANCES:
            values[field.name] = bool(part[0] > 0.5)
        else:
            values[field.name] = float((part[0] + 1) / 2)
    person = Person(**values)  # type: ignore[arg-type]
    if _visible(person)["lip_thickness"] < 1:
        share = _visible(person)["lip_thickness"]
        thickness = (2 * person.lip_thickness - 1) / share
        person = replace(person, lip_thickness=(thickness + 1) / 2)
    return person


def _visible(person: Person) -> dict[str, float]:
    style = person.hairstyle_name
    shades = person.frames_name == "shades"
    moustache = person.beard_name in ("moustache", "goatee", "full")
    return {
        "eyes": 0.0 if shades else 1.0,
        "eye_size": 0.0 if shades else 1.0,
        "eye_height": 0.0 if shades else 1.0,
        "eye_slant": 0.0 if shades else 1.0,
        "frame_color": 0.0 if person.frames_name == "none" else 1.0,
        "hair_volume": 0.0 if style in ("bald", "buzz") else 1.0,
        "fringe": 0.0 if style in ("bald", "mohawk") else 1.0,
        "parting": 1.0 if style == "side part" else 0.0,
        "ear_size": 0.0 if style in ("bob", "long") else 1.0,
        "lip_thickness": 0.5 if moustache else 1.0,
    }


IDENTITY_DIM = sum(
    len(_CHOICES[field.name]) if field.name in _CHOICES else 1 for field in fields(Person)
)
"""Length of `identity_vector`."""
