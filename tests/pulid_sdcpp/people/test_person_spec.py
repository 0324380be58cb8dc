from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.person_spec import PersonSpec
from pulid_sdcpp.people.region import Region

PHOTO = Path("alice.jpg")


def test_a_spec_becomes_the_person_with_the_identity() -> None:
    region = Region(box=(0, 0, 0.5, 1))
    identity = Identity.from_array(np.ones((4, 8), np.float32))
    spec = PersonSpec("alice", (PHOTO,), None, "left", "mean", 0.8, 2, 0.9, region)
    person = spec.with_identity(identity)
    assert (person.identity, person.region) == (identity, region)
    assert (person.weight, person.start_step, person.end_step) == (0.8, 2, 0.9)


def test_what_is_not_said_is_as_for_a_person() -> None:
    spec, person = PersonSpec("alice", (PHOTO,)), Person(PHOTO)
    for name in ("weight", "start_step", "end_step", "region"):
        assert getattr(spec, name) == getattr(person, name)


@pytest.mark.parametrize(
    "values", [{"weight": 5.1}, {"start_step": -1}, {"end_step": 1.5}, {"region": "left"}]
)
def test_what_is_out_of_range_is_refused_as_for_a_person(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=name) as of_a_person:
        Person(PHOTO, **values)
    with pytest.raises(ValueError, match=name) as of_a_spec:
        PersonSpec("alice", (PHOTO,), **values)
    assert str(of_a_spec.value) == str(of_a_person.value)


@pytest.mark.parametrize("values", [{}, {"files": (PHOTO,), "identity": PHOTO}])
def test_files_or_an_identity_are_needed(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either files"):
        PersonSpec("alice", **values)


def test_sources_are_equal_where_the_identity_is_the_same() -> None:
    alice = PersonSpec("alice", (PHOTO,), face="left")
    assert replace(alice, name="a", weight=0.5, start_step=2).source == alice.source
    for other in ({"files": (PHOTO, PHOTO)}, {"face": "right"}, {"fusion": "mean"}):
        assert replace(alice, **other).source != alice.source  # type: ignore[arg-type]
    known = Identity.from_array(np.ones((4, 8), np.float32))
    assert PersonSpec("a", identity=known).source == PersonSpec("b", identity=known).source
    assert PersonSpec("a", identity=known).source != alice.source
