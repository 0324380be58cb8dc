"""How much faces are like people, in numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp.server.library.likeness import KnownFace, likeness_json, mean_reference

NAME, JUDGE = "arcface:1", "judge:2"


def at(degrees: float, length: float = 1.0) -> np.ndarray[Any, Any]:
    """A direction in a plane: the cosine of two is that of the angle between them."""
    angle = np.radians(degrees)
    return (length * np.array([np.cos(angle), np.sin(angle)])).astype(np.float32)


def known(name: str, degrees: float) -> KnownFace:
    return KnownFace(name, {NAME: at(degrees), JUDGE: at(degrees + 10)})


def seen(degrees: float) -> dict[str, Any]:
    return {NAME: at(degrees, 20.0), JUDGE: at(degrees, 3.0)}


def test_one_person_and_who_else_it_could_be() -> None:
    found = likeness_json(
        [seen(0)],
        [known("rose", 60)],
        [known("rose", 60), known("tom", 90), known("ann", 80), KnownFace("unseen")],
        recogniser=NAME,
        judge=JUDGE,
    )
    assert found == {
        "faces": 1,
        "people": [
            {
                "id": "rose",
                "similarity": pytest.approx(0.5, abs=1e-4),
                "judge": pytest.approx(np.cos(np.radians(70)), abs=1e-4),
                "best_other": {
                    "id": "ann",
                    "similarity": pytest.approx(np.cos(np.radians(80)), abs=1e-4),
                },
            }
        ],
    }
    json.dumps(found)


def test_two_people_get_a_face_each_the_surest_pair_first() -> None:
    # The first face is the best for both, and surer for tom.
    found = likeness_json(
        [seen(0), seen(50)], [known("rose", 20), known("tom", 5)], [], recogniser=NAME
    )
    rose, tom = found["people"]
    assert tom["similarity"] == pytest.approx(np.cos(np.radians(5)), abs=1e-4)
    assert rose["similarity"] == pytest.approx(np.cos(np.radians(30)), abs=1e-4)
    assert rose["judge"] is None
    assert rose["best_other"] is None


def test_fewer_faces_than_people_and_none() -> None:
    found = likeness_json([seen(0)], [known("rose", 20), known("tom", 5)], [], recogniser=NAME)
    assert [one["similarity"] is None for one in found["people"]] == [True, False]
    none = likeness_json([], [known("rose", 20)], [known("tom", 0)], recogniser=NAME)
    assert none == {
        "faces": 0,
        "people": [{"id": "rose", "similarity": None, "judge": None, "best_other": None}],
        "none": True,
    }


def test_a_person_of_whom_nothing_is_known_still_has_others_beside() -> None:
    found = likeness_json(
        [seen(0)], [KnownFace("stranger")], [known("tom", 60)], recogniser=NAME, judge=JUDGE
    )
    (row,) = found["people"]
    assert (row["similarity"], row["judge"]) == (None, None)
    assert row["best_other"]["id"] == "tom"


def test_numbers_of_another_recogniser_are_not_compared() -> None:
    other = KnownFace("rose", {"arcface:9": at(0)})
    longer = KnownFace("tom", {NAME: np.ones(3, np.float32)})
    for person in (other, longer):
        (row,) = likeness_json([seen(0)], [person], [], recogniser=NAME)["people"]
        assert row["similarity"] is None


def test_the_mean_of_photos_counts_each_the_same() -> None:
    mean = mean_reference([{NAME: at(0, 100.0), JUDGE: at(1)}, {NAME: at(60, 1.0)}])
    assert list(mean) == [NAME]
    np.testing.assert_allclose(mean[NAME], at(30), atol=1e-6)
    assert mean_reference([]) == {}
    assert not mean_reference([{NAME: np.zeros(2, np.float32)}])[NAME].any()
