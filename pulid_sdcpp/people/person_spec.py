"""A person who is asked for: whose face and how, before anything is read."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..identity.face_choice import FaceChoice, check_face_choice
from ..identity.fusion import DEFAULT_FUSION, FUSION_HELP, FUSIONS, Fusion
from ..options.checks import check_path
from ..options.facts import check, described, option, same_as
from ..options.step_point import StepPoint
from ..system.given_content import FileContent
from ..terminal_text import shown
from .person import Person, check_is_region
from .region import Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..identity.identity_file import Identity

__all__ = ["PersonSpec", "check_face_is_of_photos"]


@dataclass(frozen=True, repr=False)
class PersonSpec:
    """A person in one picture; `enroll_people` makes a `Person` of it.

    Args:
        name: In the names of files, and on contact sheets.
        files: Photos of the person, or one identity file.
        identity: In the place of `files`: one that is known, or a file that can be nothing else.
        face: Which face of each photo.
        fusion: How several photos become one identity, see `Fusion`.
        weight, start_step, end_step, region: As those of `Person`.

    Raises:
        ValueError: Both or none of files and identity; or a value out of range.
    """

    name: str
    files: tuple[Path, ...] = ()
    identity: str | os.PathLike[str] | FileContent | Identity | NDArray[np.float32] | None = None
    face: FaceChoice = option(
        "largest",
        "Face to use if a photo has several: largest, left, right, center, a number (counting from "
        "0 at the left), or a box x,y,w,h in pixels.",
        flags="--face",
        group="Identity",
        metavar="WHICH",
        evaluate=False,
    )
    fusion: Fusion = option(
        DEFAULT_FUSION,
        FUSION_HELP,
        flags="--fusion",
        group="Identity",
        choices=FUSIONS,
        evaluate=False,
    )
    weight: float | None = same_as(Person, "weight")
    start_step: StepPoint = same_as(Person, "start_step")
    end_step: StepPoint | None = same_as(Person, "end_step")
    region: Region | None = Person.region

    def __post_init__(self) -> None:
        if bool(self.files) == (self.identity is not None):
            raise ValueError("a person needs either files (photos or an identity) or an identity")
        for path in self.paths:
            check_path("identity", path)
        check(self)
        object.__setattr__(self, "face", check_face_choice(self.face))
        check_is_region(self.region)

    def __repr__(self) -> str:
        return described(self)

    @property
    def source(self) -> Hashable:
        """Equal for people who have the same identity, which is extracted once."""
        return (self.files, self.face, self.fusion) if self.files else id(self.identity)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in which the identity is."""
        if isinstance(self.identity, str | os.PathLike):
            return (Path(self.identity),)
        return self.files

    def with_identity(self, identity: Identity) -> Person:
        """This person for the engine."""
        return Person(identity, self.weight, self.start_step, self.end_step, self.region)


def check_face_is_of_photos(
    own: Mapping[str, Any], files: Sequence[str | os.PathLike[str]], text: str
) -> None:
    """Refuse a choice of face for an identity file, in which there is nothing to choose.

    Args:
        own: What is said of the person.
        files: The person's.
        text: The person as written.

    Raises:
        ValueError: Names the person.
    """
    from ..identity.identity_file import is_identity_file  # with NumPy, which options do without

    if "face" in own and files and all(map(is_identity_file, files)):
        raise ValueError(f"{shown(text)}: face chooses on a photo, and this is an identity file")
