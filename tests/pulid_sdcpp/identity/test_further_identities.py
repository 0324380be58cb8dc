"""A kept person's identities for several models: found by encoder, kept together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp.errors import IdentityFileError, OutputExistsError
from pulid_sdcpp.identity.further_identities import (
    further_files,
    further_path,
    have_same_photos,
    identity_for,
)
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import (
    check_name_is_free,
    keep_person,
    kept_people,
    kept_person,
    remove_person,
    rename_person,
)
from pulid_sdcpp.identity.store import find_identity
from pulid_sdcpp.people.identity_use import as_identity
from pulid_sdcpp.request.picture_request import identity_given_as


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))


def identity_of(encoder: str, photos: str = "0a", number: float = 0.5) -> Identity:
    tokens = np.full((4, 8), number + 0.01 * len(encoder), np.float32)
    return Identity.from_array(tokens, encoder=encoder, source_sha256=photos)


def test_the_one_that_weights_work_with_is_found() -> None:
    for encoder in ("sdxl-v1.1", "flux", "sdxl-v1"):
        kept = keep_person("alice", identity_of(encoder))
        assert (kept.name, kept.identity.encoder) == ("alice", encoder)
        assert kept.identity.sha256 == identity_of(encoder).sha256
    (alice,) = kept_people()
    assert alice.encoders == ("sdxl-v1.1", "flux", "sdxl-v1")
    for encoder in alice.encoders:
        assert identity_for(alice.path, (encoder,)).encoder == encoder
    assert identity_for(alice.path, ("sdxl-v1", "sdxl-v1.1")).encoder == "sdxl-v1.1"
    for encoder in alice.encoders:
        assert find_identity(identity_of(encoder).short_hash) is not None


def test_where_none_fits_it_is_that_of_the_file(tmp_path: Path) -> None:
    alice = keep_person("alice", identity_of("flux"))
    assert identity_for(alice.path, ("sdxl-v1",)).encoder == "flux"
    # A file that came there in another way is not believed.
    other = further_path(alice.path, "sdxl-v1")
    other.parent.mkdir()
    identity_of("sdxl-v1", photos="0b").save(other)
    assert identity_for(alice.path, ("sdxl-v1",)).encoder == "flux"
    identity_of("sdxl-v1.1").save(other, overwrite=True)
    assert identity_for(alice.path, ("sdxl-v1",)).encoder == "flux"
    other.write_bytes(b"GGUF")
    assert identity_for(alice.path, ("sdxl-v1",)).encoder == "flux"
    with pytest.raises(IdentityFileError, match="no such file"):
        identity_for(tmp_path / "bob.pulidembd", ("flux",))


def test_only_of_the_same_photos_and_another_encoder() -> None:
    alice = keep_person("alice", identity_of("flux"))
    for other, words in (
        (identity_of("flux"), "person alice; choose"),
        (identity_of("flux", photos="0b"), "person alice; choose"),
        (identity_of("sdxl-v1", photos="0b"), "alice from other photos, so this one, by PuLID v1 "),
        (identity_of("sdxl-v1", photos=""), "alice from other photos"),
    ):
        with pytest.raises(OutputExistsError, match=words):
            keep_person("ALICE", other)
    assert further_files(alice.path) == {}
    check_name_is_free("alice", encoder="sdxl-v1")
    for encoder in ("flux", None):
        with pytest.raises(OutputExistsError, match="there is a kept person alice"):
            check_name_is_free("Alice", encoder=encoder)  # type: ignore[arg-type]


def test_replacing_keeps_those_of_the_same_photos_only() -> None:
    keep_person("alice", identity_of("flux"))
    keep_person("alice", identity_of("sdxl-v1"))
    keep_person("Alice", identity_of("flux", number=0.7), overwrite=True)
    assert kept_person("alice").name == "Alice"
    assert kept_person("alice").encoders == ("flux", "sdxl-v1")
    keep_person("alice", identity_of("sdxl-v1", number=0.8), overwrite=True)
    path = kept_person("alice").path
    assert identity_for(path, ("sdxl-v1",)).sha256 == identity_of("sdxl-v1", number=0.8).sha256
    keep_person("alice", identity_of("sdxl-v1.1", photos="0b"), overwrite=True)
    assert kept_person("alice").encoders == ("sdxl-v1.1",)


def test_renaming_and_removing_are_of_all() -> None:
    keep_person("alice", identity_of("flux"))
    keep_person("alice", identity_of("sdxl-v1"))
    bob = rename_person("alice", "bob")
    assert bob.encoders == ("flux", "sdxl-v1")
    assert identity_for(bob.path, ("sdxl-v1",)).encoder == "sdxl-v1"
    remove_person("bob")
    assert further_files(bob.path) == {}
    assert find_identity(identity_of("sdxl-v1").short_hash) is None


def test_photos_are_known_by_their_hashes() -> None:
    flux = identity_of("flux", photos="0a,0b")
    assert have_same_photos(flux, identity_of("sdxl-v1", photos="0a,0b"))
    assert not have_same_photos(flux, identity_of("sdxl-v1", photos="0b,0a"))
    nothing = Identity.from_array(np.ones((2, 4)))
    assert not have_same_photos(nothing, nothing)


def test_a_kept_name_stands_for_the_identity_that_the_model_takes() -> None:
    for encoder in ("sdxl-v1", "flux"):
        keep_person("alice", identity_of(encoder))
    path = kept_person("alice").path
    for given in ("alice", path):
        assert as_identity(given, ("flux",)).encoder == "flux"
        assert as_identity(given, ("sdxl-v1",)).encoder == "sdxl-v1"
        assert as_identity(given, ("sdxl-v1", "sdxl-v1.1")).encoder == "sdxl-v1"
        assert as_identity(given).encoder == "flux"
        assert as_identity(given, ("sdxl-v1.1",)).encoder == "sdxl-v1"  # refused by who uses it
    for encoder in ("flux", "sdxl-v1"):
        found = identity_given_as(path, (encoder,))
        assert found is not None
        assert found.encoder == encoder
