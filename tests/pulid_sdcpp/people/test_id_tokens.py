"""The tokens of identities that are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pulid_sdcpp import Identity
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


def test_photos_and_what_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pulidembd"
    damaged.write_bytes(b"GGUF")
    photo, lost = PersonSpec("me", files=(tmp_path / "me.jpg",)), tmp_path / "lost.pulidembd"
    assert most_tokens([photo, PersonSpec("a", files=(damaged,))]) == 0
    assert most_tokens([PersonSpec("b", identity=lost), PersonSpec("c", files=(lost,))]) == 0
    assert most_tokens([]) == 0
