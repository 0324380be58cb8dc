"""One of several people: the values, and the text of the command line."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp import (
    GenerationOptions,
    Identity,
    IdentityFileError,
    IdentityOptions,
    Person,
    Region,
)
from pulid_sdcpp.people.identity_use import IdentityUse
from pulid_sdcpp.people.person import parse_person
from pulid_sdcpp.people.person_spec import PersonSpec


def test_a_person_as_text() -> None:
    source, rest = parse_person("alice.pulidembd:mask=left.png:weight=0.9:start=20%:end=12")
    assert source == "alice.pulidembd"
    region = rest.pop("region")
    assert (region.mask, region.box) == ("left.png", None)
    assert rest == {"weight": 0.9, "start_step": 0.2, "end_step": 12}


def test_a_box_and_nothing() -> None:
    source, rest = parse_person("bob.jpg:box=0.5,0,0.5,1")
    assert (source, rest["region"].box) == ("bob.jpg", (0.5, 0, 0.5, 1))
    assert parse_person("bob.jpg") == ("bob.jpg", {})


def test_a_face_is_chosen_as_with_the_flag() -> None:
    for text, face in (("2", 2), ("left", "left"), ("120,80,64,70", (120.0, 80.0, 64.0, 70.0))):
        source, rest = parse_person(f"party.png:face={text}:weight=0.9")
        assert (source, rest) == ("party.png", {"face": face, "weight": 0.9})


def test_a_windows_path_keeps_its_drive() -> None:
    source, rest = parse_person(r"C:\people\alice.pulidembd:mask=D:\masks\left.png")
    assert source == r"C:\people\alice.pulidembd"
    assert rest["region"].mask == r"D:\masks\left.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":weight=1", "names no identity"),
        ("a:wieght=1", "'wieght', but may have weight"),
        ("a:weight=1:weight=2", "weight twice"),
        ("a:weight=much", "is not a number"),
        ("a:face=best", "expected one of largest"),
        ("a:box=0.5,0,1,1", r"\(0.5, 0, 1, 1\) \(x, y, width, height\) goes beyond"),
        ("a:start=soon", "is not a step"),
        ("a:box=1,2,3", "four numbers"),
        ("a:box=1,2,3,x", "is not a number"),
        ("a:box=0,0,1,1:mask=m.png", "either a box or a mask"),
    ],
)
def test_texts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_person(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identity": None}, "needs an identity"),
        ({"identity": "a", "weight": 5.1}, "weight"),
        ({"identity": "a", "start_step": 1.5}, "start_step"),
        ({"identity": "a", "end_step": -1}, "end_step"),
        ({"identity": "a", "region": (0, 0, 1, 1)}, "must be a Region"),
        ({"identity": "nul\0"}, "identity"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Person(**arguments)  # type: ignore[arg-type]


def test_no_repr_has_numbers_of_a_face() -> None:
    """They would come into logs."""
    numbers = np.full((3, 4), 0.123456, np.float32)
    identity = Identity.from_array(numbers)
    given: list[Any] = [
        Person(numbers, weight=0.5),
        Person(identity, region=Region(box=(0, 0, 0.5, 1))),
        Person(identity.to_bytes()),
        Person(identity, region=Region(mask=b"a photo's bytes")),
        IdentityOptions(numbers),
        IdentityOptions(people=(Person(identity),)),
        PersonSpec("alice", identity=numbers),
        PersonSpec("alice", identity=identity.to_bytes()),
        IdentityUse(numbers, 1.0),
        GenerationOptions("p", init_image=b"a photo's bytes", ref_images=(numbers,)),
    ]
    for one in given:
        region = getattr(one, "region", None)
        for text in (repr(one), repr([one]), f"{one}", repr(region)):
            assert "0.123" not in text
            assert "photo's" not in text
            assert "pulid" not in text
    assert repr(given[0]) == "Person(identity=<array of (3, 4)>, weight=0.5)"
    assert repr(given[1]).startswith(f"Person(identity=Identity({identity.short_hash}, ")
    assert repr(given[9]).startswith("GenerationOptions(prompt='p', init_image=<15 bytes>")


def test_a_person_is_given_by_what_is_in_the_file() -> None:
    identity = Identity.from_array(np.ones((3, 4)))
    for content in (identity.to_bytes(), io.BytesIO(identity.to_bytes())):
        person = Person(content)
        assert isinstance(person.identity, Identity)
        assert person.identity.sha256 == identity.sha256
    with pytest.raises(IdentityFileError, match="found a JPEG picture"):
        Person(b"\xff\xd8\xff\xe0")
