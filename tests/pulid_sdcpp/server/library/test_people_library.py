"""The people of a server's owners."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import keep_person, kept_names, kept_person, people_folder
from pulid_sdcpp.identity.store import entries_of_identity, keep_identity
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.library.people_library import PeopleLibrary


def identity_of(number: float, *, uncond: bool = False) -> Identity:
    tokens = np.full((4, 8), number, np.float32)
    return Identity.from_array(tokens, tokens / 2 if uncond else None, weights_sha256="ab" * 32)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeopleLibrary:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    return PeopleLibrary(tmp_path / "data" / "server")


def code_of(error: pytest.ExceptionInfo[ApiError]) -> str:
    return error.value.code


def test_local_people_are_those_of_the_command_line(library: PeopleLibrary) -> None:
    keep_person("alice", identity_of(0.5), photos=["1.jpg"], preview=b"jpeg")
    (alice,) = library.people("local")
    assert (alice.name, alice.photos, alice.has_preview) == ("alice", ("1.jpg",), True)
    assert library.preview("local", "ALICE") == b"jpeg"
    library.add("local", identity_of(0.7), name="bob")
    assert kept_names() == ("alice", "bob")
    assert kept_person("bob").path.parent == people_folder()


def test_each_owner_sees_their_own(library: PeopleLibrary) -> None:
    library.add("rose", identity_of(0.5), name="alice")
    library.add("tom", identity_of(0.7), name="alice")
    rose, tom = library.find("rose", "alice"), library.find("tom", "alice")
    assert rose.id != tom.id
    assert kept_names() == () == library.names("local")
    for owner, other in (("tom", rose), ("local", rose), ("rose", tom)):
        with pytest.raises(ApiError) as error:
            library.find(owner, other.id)
        assert code_of(error) == "identity_not_found"
    assert library.count() == 2


def test_nobody_of_another_owner_is_hinted_at(library: PeopleLibrary) -> None:
    library.add("local", identity_of(0.5), name="alexander")
    with pytest.raises(ApiError, match=r"nobody is kept as 'alexandr'$"):
        library.find("rose", "alexandr")
    with pytest.raises(ApiError, match="did you mean alexander"):
        library.find("local", "alexandr", param="people[0].identity")


@pytest.mark.parametrize("owner", ["..", ".", "con", "a.b", "-", "COM1.x"])
def test_no_owner_s_name_leads_out_of_the_folder(
    library: PeopleLibrary, owner: str, tmp_path: Path
) -> None:
    person, is_new = library.add(owner, identity_of(0.5), name="alice")
    assert is_new
    assert person.path.parent.parent == tmp_path / "data" / "server" / "people"
    assert library.names(owner) == ("alice",)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_folders_and_files_are_private(library: PeopleLibrary) -> None:
    person, _ = library.add("rose", identity_of(0.5), name="alice")
    for path in (person.path, person.path.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_an_id_finds_its_face_and_nobody_who_is_only_called_so(library: PeopleLibrary) -> None:
    alice, _ = library.add("rose", identity_of(0.5), name="alice")
    impostor, _ = library.add("rose", identity_of(0.7), name=alice.id)
    assert library.find("rose", alice.id).name == "alice"
    assert library.find("rose", alice.sha256.upper()).name == "alice"
    assert library.find("rose", alice.sha256[:20]).name == "alice"
    library.remove("rose", "alice")
    assert library.find("rose", alice.id).id == impostor.id  # a name like any other now


def test_of_two_copies_the_one_with_an_unconditional_part_is_found(library: PeopleLibrary) -> None:
    library.add("rose", identity_of(0.5), name="plain")
    whole, is_new = library.add("rose", identity_of(0.5, uncond=True), name="whole")
    assert is_new
    assert library.find("rose", whole.id).name == "whole"


def test_an_identity_of_the_cache_is_found_by_its_id_without_keys_only(
    library: PeopleLibrary,
) -> None:
    identity = identity_of(0.5)
    keep_identity(identity)
    found = library.find("local", identity.short_hash)
    assert (found.id, found.name) == (identity.short_hash, "")
    assert Identity.load(found.path).sha256 == identity.sha256
    for wanted in (identity.short_hash[:9], identity.short_hash + "0" * 54):
        with pytest.raises(ApiError):
            library.find("local", wanted)
    with pytest.raises(ApiError):
        library.find("rose", identity.short_hash)
    with pytest.raises(ApiError):  # nobody who could be forgotten or renamed
        library.remove("local", identity.short_hash)


def test_who_is_there_already_stays(library: PeopleLibrary) -> None:
    first, is_new = library.add("rose", identity_of(0.5), name="Alice", preview=b"1")
    again, is_new_again = library.add("rose", identity_of(0.5), name="alice", preview=b"2")
    unnamed, is_new_unnamed = library.add("rose", identity_of(0.5))
    renamed, is_new_renamed = library.add("rose", identity_of(0.5), name="Bob")
    assert (is_new, is_new_again, is_new_unnamed, is_new_renamed) == (True, False, False, False)
    assert first.name == again.name == unnamed.name == renamed.name == "Alice"
    assert library.preview("rose", "alice") == b"1"
    with pytest.raises(ApiError) as error:
        library.add("rose", identity_of(0.7), name="ALICE")
    assert code_of(error) == "name_taken"
    library.add("rose", identity_of(0.7), name="ALICE", overwrite=True)
    assert library.find("rose", "alice").id == identity_of(0.7).short_hash


def test_without_a_name_the_id_is_one(library: PeopleLibrary) -> None:
    person, is_new = library.add("rose", identity_of(0.5))
    assert is_new
    assert person.name == person.id == identity_of(0.5).short_hash


@pytest.mark.parametrize("name", ["a/b", "..", "x" * 101, "a\0b", "a:b", "alice.jpg", "-a", "nul"])
def test_a_name_that_cannot_be(library: PeopleLibrary, name: str) -> None:
    library.add("rose", identity_of(0.7), name="bob")
    for call in (
        lambda: library.add("rose", identity_of(0.5), name=name),
        lambda: library.rename("rose", "bob", name),
        lambda: library.check_is_free("rose", name),
    ):
        with pytest.raises(ApiError) as error:
            call()
        assert (code_of(error), error.value.param) == ("invalid_value", "name")
    assert library.names("rose") == ("bob",)


def test_renaming(library: PeopleLibrary) -> None:
    alice, _ = library.add("rose", identity_of(0.5), name="alice")
    library.add("rose", identity_of(0.7), name="bob")
    with pytest.raises(ApiError) as error:
        library.rename("rose", "alice", "BOB")
    assert code_of(error) == "name_taken"
    assert library.rename("rose", alice.id, "Alice").name == "Alice"
    assert library.rename("rose", "alice", "Zoë B.").id == alice.id
    assert set(library.names("rose")) == {"Zoë B.", "bob"}
    with pytest.raises(ApiError) as error:
        library.rename("tom", "bob", "carol")
    assert code_of(error) == "identity_not_found"


def test_forgetting_leaves_nothing_unless_somebody_else_keeps_the_face(
    library: PeopleLibrary,
) -> None:
    identity = identity_of(0.5)
    for owner in ("rose", "tom"):
        library.add(owner, identity, name="alice")
    keep_identity(identity)
    library.remove("rose", "alice")
    assert entries_of_identity(identity.short_hash)
    assert library.remove("tom", identity.short_hash).name == "alice"
    assert not entries_of_identity(identity.short_hash)
    assert library.count() == 0
    with pytest.raises(ApiError):
        library.remove("tom", "alice")


def of_encoder(number: float, encoder: str, photos: str = "cd" * 32) -> Identity:
    tokens = np.full((4, 8), number, np.float32)
    return Identity.from_array(tokens, encoder=encoder, source_sha256=photos)


def test_a_person_of_two_models_is_one_person(library: PeopleLibrary) -> None:
    flux, v1 = of_encoder(0.5, "flux"), of_encoder(0.7, "sdxl-v1")
    library.add("rose", flux, name="Alice")
    both, is_new = library.add("rose", v1, name="alice")
    assert is_new
    assert (both.name, both.id, both.encoders) == ("Alice", flux.short_hash, ("flux", "sdxl-v1"))
    assert both.ids == (flux.short_hash, v1.short_hash)
    assert library.people("rose") == (both,)
    assert library.find("rose", v1.short_hash) == library.find("rose", "alice") == both
    assert library.names_by_id("rose") == dict.fromkeys(both.ids, "Alice")
    again, is_new = library.add("rose", v1)
    assert (again, is_new) == (both, False)
    assert library.rename("rose", v1.short_hash, "Zoë").encoders == both.encoders


def test_a_model_gets_the_identity_that_it_takes(library: PeopleLibrary) -> None:
    identities = {"flux": of_encoder(0.5, "flux"), "sdxl-v1": of_encoder(0.7, "sdxl-v1")}
    for identity in identities.values():
        library.add("rose", identity, name="alice")
    for encoder, identity in identities.items():
        for wanted in ("alice", *(one.short_hash for one in identities.values())):
            person, found = library.identity_for("rose", wanted, (encoder,), model="m")
            assert (person.name, found.encoder, found.id) == ("alice", encoder, identity.short_hash)
            assert Identity.load(found.path).sha256 == identity.sha256
    with pytest.raises(ApiError) as error:
        library.identity_for("rose", "Alice", ("sdxl-v1.1",), model="sdxl-base", param="people[0]")
    assert (code_of(error), error.value.param) == ("invalid_value", "people[0]")
    assert error.value.message == (
        "people[0]: 'alice' is kept for Flux or SDXL v1, but 'sdxl-base' needs an identity for "
        "SDXL v1.1; add the same photos once more by the same name, with 'sdxl-base' as the model, "
        "or choose another model"
    )
    assert library.identity_for("rose", "alice", (), model="m")[1].encoder == "flux"


def test_without_a_name_the_same_photos_are_the_same_person(library: PeopleLibrary) -> None:
    library.add("rose", of_encoder(0.5, "flux"), name="alice")
    assert library.add("rose", of_encoder(0.7, "sdxl-v1"))[0].name == "alice"
    other = of_encoder(0.9, "sdxl-v1.1", photos="ef" * 32)
    assert library.add("rose", other)[0].name == other.short_hash
    with pytest.raises(ApiError, match=r"from other photos, so this identity, by PuLID v1\.1 "):
        library.add("rose", of_encoder(0.8, "sdxl-v1.1", photos="ef" * 32), name="alice")


def test_all_identities_of_a_person_are_forgotten(library: PeopleLibrary) -> None:
    identities = [of_encoder(0.5, "flux"), of_encoder(0.7, "sdxl-v1")]
    for identity in identities:
        library.add("rose", identity, name="alice")
        keep_identity(identity)
    library.add("tom", identities[1], name="bob")
    person = library.remove("rose", identities[1].short_hash)
    assert not any(one.path.exists() for one in person.identities)
    assert library.people("rose") == ()
    assert not entries_of_identity(identities[0].short_hash)
    assert entries_of_identity(identities[1].short_hash)  # tom keeps it


def test_a_further_identity_that_is_damaged_is_left_out(library: PeopleLibrary) -> None:
    library.add("rose", of_encoder(0.5, "flux"), name="alice")
    person, _ = library.add("rose", of_encoder(0.7, "sdxl-v1"), name="alice")
    person.identities[1].path.write_bytes(b"noise")
    assert library.find("rose", "alice").encoders == ("flux",)


def test_a_damaged_file_is_no_person_and_can_be_named_only(library: PeopleLibrary) -> None:
    person, _ = library.add("rose", identity_of(0.5), name="alice")
    person.path.write_bytes(b"GGUF and nothing more")
    assert library.people("rose") == ()
    with pytest.raises(ApiError) as error:
        library.find("rose", "alice")
    assert code_of(error) == "bad_identity"
    assert str(person.path.parent) not in str(error.value)


def test_a_file_that_was_replaced_is_read_again(library: PeopleLibrary) -> None:
    keep_person("alice", identity_of(0.5))
    assert library.find("local", "alice").id == identity_of(0.5).short_hash
    keep_person("alice", identity_of(0.7), overwrite=True)
    assert library.find("local", "alice").id == identity_of(0.7).short_hash


def test_what_recognisers_say_is_kept(library: PeopleLibrary) -> None:
    numbers = {
        "one:ab": np.arange(512, dtype=np.float32),
        "two:cd": -np.arange(512, dtype=np.float32),
    }
    library.add("rose", identity_of(0.5), name="alice", preview=b"jpeg", references=numbers)
    found = library.find("rose", "alice").references
    assert list(found) == ["one:ab", "two:cd"]
    for name, row in numbers.items():
        np.testing.assert_array_equal(found[name], row)
    assert library.preview("rose", "alice") == b"jpeg"
    assert library.add("rose", identity_of(0.7), name="bob")[0].references == {}


def test_many_threads_keep_one_person_once(library: PeopleLibrary) -> None:
    with ThreadPoolExecutor(8) as threads:
        said = list(
            threads.map(lambda _: library.add("rose", identity_of(0.5), name="alice")[1], range(16))
        )
    assert said.count(True) == 1
    assert library.names("rose") == ("alice",)
