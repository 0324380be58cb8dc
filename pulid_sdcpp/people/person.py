"""One of several people in a picture."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..identity.face_choice import parse_face_choice
from ..options.checks import check_path
from ..options.facts import check, described, of, option
from ..options.step_point import StepPoint, parse_step_point
from ..system.given_content import FileContent, is_content
from ..terminal_text import shown
from .region import Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..identity.identity_file import Identity

__all__ = ["MAX_IDENTITY_WEIGHT", "Person", "check_is_region", "parse_person"]

MAX_IDENTITY_WEIGHT = 5.0

_KEYS = ("weight", "start", "end", "mask", "box", "face")
_PART = re.compile(r":(?=[A-Za-z_]+=)")  # not the colon of C:\


@dataclass(frozen=True, eq=False, repr=False)
class Person:
    """Whose face, how strongly, when, and where in the picture.

    Args:
        identity: An identity file, what is in it (bytes), an open file, the name of somebody who
            is kept, an `Identity`, or an array (tokens, width).
        weight: 0 to 5; 0 is off, 0.7 to 1.2 is usual. None: that of PuLID's own apps, 1 for Flux,
            0.8 for SDXL.
        start_step: First step with the identity: a whole number counts steps from 0, a float from 0
            to 1 is a share of the steps.
        end_step: Step before which the identity ends, likewise; None: to the last step.
        region: Where the person is; None: the whole picture.

    Raises:
        ValueError: A value out of range; names the value and the range.
    """

    identity: str | os.PathLike[str] | FileContent | Identity | NDArray[np.float32]
    weight: float | None = option(
        None,
        "Strength of the identity, 0 to 5; 0.7 to 1.2 is usual.",
        flags="--pulid-id-weight --id-weight",
        group="Identity",
        shown_default="1; 0.8 with an SDXL model",
        low=0,
        high=MAX_IDENTITY_WEIGHT,
        text="PuLID weight",
        always=True,
        binding="pulid_id_weight",
    )
    start_step: StepPoint = option(
        0,
        "First step with the identity, from 0, or a share of the steps (0.2, 20%): 0 or 1 for "
        "stylised pictures, 20% for photographs.",
        flags="--id-start-step",
        group="Identity",
        text="PuLID start step",
        always=True,
        binding="pulid_start_step",
    )
    end_step: StepPoint | None = option(
        None,
        "Step before which the identity ends; default: it stays to the last step.",
        flags="--id-end-step",
        group="Identity",
        text="PuLID end step",
        binding="pulid_end_step",
    )
    region: Region | None = None

    def __post_init__(self) -> None:
        if self.identity is None:
            raise ValueError("a person needs an identity; name a file or give an Identity")
        if isinstance(self.identity, str | os.PathLike):
            check_path("identity", self.identity)
        elif is_content(self.identity):  # an open file may not be there a second time
            from ..identity.identity_file import Identity

            object.__setattr__(self, "identity", Identity.from_bytes(self.identity))
        check(self)
        check_is_region(self.region)

    def __repr__(self) -> str:
        return described(self)


def check_is_region(region: object) -> None:
    """Refuse what is no region.

    Raises:
        ValueError: Names it.
    """
    if region is not None and not isinstance(region, Region):
        raise ValueError(f"region is {shown(region)}, but must be a Region or None")


def parse_person(text: str) -> tuple[str, dict[str, Any]]:
    """Read `alice.pulidembd:mask=left.png:weight=0.9`.

    Keys: face, which one of a photo with several, as for --face; weight; start and end, a step (4)
    or a part of the steps (0.2, 20%); mask, a picture; or box, four numbers x,y,width,height.

    Returns:
        What is named, and the other arguments of `PersonSpec`.

    Raises:
        ValueError: An unknown key, one given twice, or a value that is none.
    """
    source, *parts = _PART.split(text)
    if not source:
        raise ValueError(f"{shown(text)} names no identity file or photo before its options")
    given: dict[str, str] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise ValueError(f"{shown(text)} has {shown(key)}, but may have {', '.join(_KEYS)}")
        if key in given:
            raise ValueError(f"{shown(text)} has {key} twice")
        given[key] = value
    try:
        return source, _arguments(given)
    except ValueError as error:
        raise ValueError(f"{shown(text)}: {error}") from None


def _arguments(given: Mapping[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if "face" in given:
        arguments["face"] = parse_face_choice(given["face"])
    if "weight" in given:
        arguments["weight"] = _number(given["weight"], "weight")
    for key in ("start", "end"):
        if key in given:
            arguments[f"{key}_step"] = parse_step_point(given[key])
    if "mask" in given or "box" in given:
        box = None
        if "box" in given:
            box = tuple(_number(value, "box") for value in given["box"].split(","))
        arguments["region"] = Region(box, given.get("mask"))  # type: ignore[arg-type]
    for name in arguments.keys() & of(Person).keys():
        of(Person)[name].check(arguments[name])
    return arguments


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{what} is {shown(text)}, which is not a number") from None
