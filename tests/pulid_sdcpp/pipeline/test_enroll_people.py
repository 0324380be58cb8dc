from __future__ import annotations

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.person_spec import PersonSpec
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.pipeline.enroll_people import enroll_each, enroll_people

ALICE, BOB, NOBODY = Path("alice.jpg"), Path("bob.jpg"), Path("nobody.jpg")


def identity_of(photo: Path) -> Identity:
    return Identity.from_array(np.full((4, 8), len(str(photo)), np.float32))


def hashes_of(people: Any) -> list[str]:
    return [person.identity.sha256 for person in people]


class Pipeline:
    """Remembers what was enrolled."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.context = SimpleNamespace(pulid_weights=None)

    def enroll(self, photos: Any, *, on_face: Any = None, **options: Any) -> Identity:
        self.calls.append((photos, options))
        first = photos[0] if isinstance(photos, list) else photos
        if first == NOBODY:
            raise FaceNotFoundError("there is no face")
        if on_face is not None:
            on_face(SimpleNamespace(photo=first))
        return identity_of(first)


def test_everybody_gets_an_identity_and_keeps_the_rest() -> None:
    pipeline: Any = Pipeline()
    region = Region(box=(0, 0, 0.5, 1))
    faces: list[Any] = []
    alice, bob = enroll_people(
        pipeline,
        [
            PersonSpec("alice", (ALICE,), face="left", weight=0.8, region=region),
            PersonSpec("bob", (BOB, ALICE), fusion="mean", start_step=2, end_step=0.9),
        ],
        on_face=faces.append,
    )
    assert pipeline.calls == [
        (ALICE, {"face": "left", "fusion": "auto"}),
        ([BOB, ALICE], {"face": "largest", "fusion": "mean"}),
    ]
    assert [face.photo for face in faces] == [ALICE, BOB]
    assert hashes_of([alice, bob]) == [identity_of(ALICE).sha256, identity_of(BOB).sha256]
    assert (alice.weight, alice.region) == (0.8, region)
    assert (bob.weight, bob.start_step, bob.end_step) == (None, 2, 0.9)


def test_equal_sources_are_extracted_once() -> None:
    pipeline: Any = Pipeline()
    specs = [PersonSpec(name, (ALICE,), weight=w) for name, w in (("a", 0.5), ("b", 1.0))]
    people = enroll_people(pipeline, [*specs, PersonSpec("c", (ALICE,), face="right")])
    assert [person.weight for person in people] == [0.5, 1.0, None]
    assert [options["face"] for _, options in pipeline.calls] == ["largest", "right"]


def test_an_identity_that_is_known_or_a_file_is_not_extracted(tmp_path: Path) -> None:
    known = identity_of(ALICE)
    known.save(tmp_path / "alice.pulidembd")
    pipeline: Any = Pipeline()
    one, other = enroll_people(
        pipeline,
        [
            PersonSpec("a", identity=known),
            PersonSpec("b", identity=tmp_path / "alice.pulidembd"),
        ],
    )
    assert one.identity is known
    assert hashes_of([other]) == [known.sha256]
    assert pipeline.calls == []


def test_a_photo_that_cannot_be_used_is_raised_or_kept_and_looked_at_once() -> None:
    pipeline: Any = Pipeline()
    specs = [PersonSpec("n", (NOBODY,)), PersonSpec("a", (ALICE,)), PersonSpec("n", (NOBODY,))]
    with pytest.raises(FaceNotFoundError):
        enroll_people(pipeline, specs)
    pipeline.calls.clear()
    first, alice, again = enroll_each(pipeline, specs, kept=(FaceNotFoundError,))
    assert isinstance(first, FaceNotFoundError)
    assert again is first
    assert isinstance(alice, Person)
    assert len(pipeline.calls) == 2
    with pytest.raises(FaceNotFoundError):
        list(enroll_each(pipeline, specs, kept=(ModelFileError,)))


def test_people_who_are_made_one_by_one_keep_their_own_identities() -> None:
    pipeline: Any = Pipeline()
    numbers = (1.0, 2.0, 3.0, 4.0)
    specs = (PersonSpec("p", identity=np.full((32, 64), number, np.float32)) for number in numbers)
    people: Any = enroll_people(pipeline, specs)
    assert [person.identity.tokens[0, 0] for person in people] == list(numbers)


def test_an_error_that_is_kept_does_not_keep_the_networks() -> None:
    class Networks:
        pass

    class Failing(Pipeline):
        def enroll(self, photos: Any, **options: Any) -> Identity:
            networks = Networks()
            self.networks = weakref.ref(networks)
            raise FaceNotFoundError("there is no face")

    pipeline: Any = Failing()
    kept = list(enroll_each(pipeline, [PersonSpec("p", (ALICE,))], kept=(FaceNotFoundError,)))
    gc.collect()
    assert str(kept[0]) == "there is no face"
    assert pipeline.networks() is None
