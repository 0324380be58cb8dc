"""The tokens of identities that are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import Identity
from pulid_sdcpp.identity.fusion import Fusion
from pulid_sdcpp.people.id_tokens import most_tokens
from pulid_sdcpp.people.person_spec import PersonSpec


def identity(n_tokens: int) -> Identity:
    return Identity.from_array(np.ones((n_tokens, 8)), encoder="sdxl-v1")


def test_the_largest_is_taken_from_files_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "alice.pulidembd"
    identity(25).save(path)
    alice, bob = PersonSpec("alice", files=(path,)), PersonSpec("bob", identity=identity(10))
    assert most_tokens([alice, bob], ["sdxl-v1"]) == 25
    assert most_tokens([bob]) == 10
    assert most_tokens([PersonSpec("carol", identity=np.ones((3, 8), np.float32))]) == 3


def photos(n: int, fusion: Fusion = "auto") -> PersonSpec:
    return PersonSpec("me", files=tuple(Path(f"{i}.jpg") for i in range(n)), fusion=fusion)


@pytest.mark.parametrize(
    ("person", "encoders", "tokens"),
    [
        (photos(1), ("sdxl-v1",), 0),
        (photos(4), ("sdxl-v1",), 25),
        (photos(4, "mix"), ("sdxl-v1",), 40),
        (photos(4, "mean"), ("sdxl-v1",), 0),
        (photos(4, "idformer"), ("sdxl-v1",), 0),  # refused when they are extracted
        (photos(4), ("sdxl-v1.1",), 0),
        (photos(4), (), 0),
    ],
)
def test_photos_are_counted_where_they_are_laid_side_by_side(
    person: PersonSpec, encoders: tuple[str, ...], tokens: int
) -> None:
    assert most_tokens([photos(1), person], encoders) == tokens


def test_one_photo_and_what_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pulidembd"
    damaged.write_bytes(b"GGUF")
    photo, lost = PersonSpec("me", files=(tmp_path / "me.jpg",)), tmp_path / "lost.pulidembd"
    assert most_tokens([photo, PersonSpec("a", files=(damaged,))]) == 0
    assert most_tokens([PersonSpec("b", identity=lost), PersonSpec("c", files=(lost,))]) == 0
    assert most_tokens([]) == 0
