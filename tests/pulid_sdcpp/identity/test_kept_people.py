"""People who are kept by name."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp.errors import IdentityFileError, OutputExistsError
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import (
    check_person_name,
    find_person,
    keep_person,
    kept_names,
    kept_people,
    kept_person,
    people_folder,
    remove_person,
    rename_person,
)
from pulid_sdcpp.identity.named_person import is_path, named_identity, named_person, named_photos
from pulid_sdcpp.identity.store import find_identity


def identity_of(number: float) -> Identity:
    return Identity.from_array(np.full((4, 8), number, np.float32), created="today")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_somebody_is_kept_with_photos_and_a_preview() -> None:
    keep_person("Zoë B.", identity_of(0.5), photos=["a/1.jpg", "2.jpg"], preview=b"\xff\xd8jpeg")
    person = kept_person("zoë b.")
    assert (person.name, person.photos, person.preview) == (
        "Zoë B.",
        ("1.jpg", "2.jpg"),
        b"\xff\xd8jpeg",
    )
    assert person.added.startswith("20")
    assert dict(person.identity.metadata) == {"created": "today"}
    # As any identity file.
    assert Identity.load(person.path).sha256 == identity_of(0.5).sha256


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_owner_can_read_it() -> None:
    person = keep_person("alice", identity_of(0.5))
    for path in (person.path, people_folder()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_nobody_is_replaced_unless_told() -> None:
    keep_person("Alice", identity_of(0.5))
    with pytest.raises(OutputExistsError, match="there is a kept person Alice"):
        keep_person("alice", identity_of(0.7))
    assert kept_person("alice").identity.sha256 == identity_of(0.5).sha256
    keep_person("alice", identity_of(0.7), overwrite=True)
    assert kept_names() == ("alice",)
    assert kept_person("ALICE").identity.sha256 == identity_of(0.7).sha256


def test_renaming_and_removing() -> None:
    keep_person("alice", identity_of(0.5))
    keep_person("bob", identity_of(0.7))
    with pytest.raises(OutputExistsError):
        rename_person("alice", "BOB")
    assert rename_person("alice", "Alice").name == "Alice"
    assert rename_person("alice", "carol").identity.sha256 == identity_of(0.5).sha256
    remove_person("Bob")
    assert kept_names() == ("carol",)
    for change in (lambda: remove_person("bob"), lambda: rename_person("bob", "dan")):
        with pytest.raises(IdentityFileError, match="there is no kept person 'bob'"):
            change()


def test_who_may_be_meant_is_said() -> None:
    with pytest.raises(IdentityFileError, match="no person is kept yet"):
        kept_person("alice")
    keep_person("Alice", identity_of(0.5))
    with pytest.raises(IdentityFileError, match=r"no kept person 'alise'; did you mean Alice\?"):
        kept_person("alise")
    with pytest.raises(IdentityFileError, match="'pulid-sdcpp people list' shows all"):
        kept_person("x")


@pytest.mark.parametrize("name", ["a", "Zoë", "J. R. Smith Jr.", "anna-lena_2", "李", "x" * 100])
def test_names(name: str) -> None:
    assert check_person_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", " a", "a ", ".a", "..", "a/b", "a\\b", "a:b", "a=b", "a,b", "a;b", "-a", "~a"),
        *("@a", "con", "a\nb", "a*", "x" * 101, "me.jpg", "me.HEIC", "me.pulidembd", None, 3),
    ],
)
def test_names_that_cannot_be(name: object) -> None:
    with pytest.raises(ValueError, match="name"):
        check_person_name(name)


def test_a_damaged_file_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    keep_person("alice", identity_of(0.5))
    (people_folder() / "bob.pulidembd").write_bytes(b"GGUF")
    assert [person.name for person in kept_people()] == ["alice"]
    assert "bob.pulidembd" in caplog.text


def test_of_many_processes_that_keep_one_name_one_does() -> None:
    code = (
        "import sys, numpy as np\n"
        "from pulid_sdcpp.errors import OutputExistsError\n"
        "from pulid_sdcpp.identity.identity_file import Identity\n"
        "from pulid_sdcpp.identity.kept_people import keep_person\n"
        "try:\n"
        "    keep_person(sys.argv[1], Identity.from_array(np.full((4, 8), 0.5, np.float32)))\n"
        "    print('kept')\n"
        "except OutputExistsError:\n"
        "    print('there')\n"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE, text=True)
        for name in ("alice", "Alice", "ALICE")
    ]
    said = sorted(one.communicate(timeout=60)[0].strip() for one in several)
    assert said == ["kept", "there", "there"]
    assert len(kept_names()) == 1


def test_a_picture_finds_its_person_here() -> None:
    identity = identity_of(0.5)
    assert find_identity(identity.short_hash) is None
    keep_person("alice", identity)
    found = find_identity(identity.short_hash)
    assert found is not None
    assert found.sha256 == identity.sha256


@pytest.mark.parametrize("text", ["./alice", "a/b", "a\\b", "~/x", ".x", "me.jpg", "me.PULIDEMBD"])
def test_what_is_written_as_a_path_is_one(text: str) -> None:
    assert is_path(text)
    keep_person("alice", identity_of(0.5))
    assert not named_person(text).is_kept


def test_a_kept_name_goes_before_a_file_of_that_name() -> None:
    Path("alice").write_bytes(b"photo")
    assert named_person("alice").files == (Path("alice"),)
    kept = keep_person("Alice", identity_of(0.5))
    named = named_person("alice")
    assert (named.name, named.files, named.is_kept) == ("Alice", (kept.path,), True)
    assert named_person("./alice").files == (Path("alice"),)
    assert named_person(Path("alice")).files == (Path("alice"),)
    assert find_person("alice") == kept.path


def test_a_folder_is_its_photos_and_what_is_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("holiday").mkdir()
    for name in ("b.jpg", "a.jpg"):
        Path("holiday", name).write_bytes(b"photo")
    assert named_person("holiday") == named_person(Path("holiday"))
    assert named_person("holiday/").name == "holiday"
    photos = [Path("holiday/a.jpg"), Path("holiday/b.jpg")]
    assert named_photos("holiday") == photos
    assert named_photos(["holiday", b"bytes", "me.jpg"]) == [*photos, b"bytes", "me.jpg"]
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, os.getcwd())
    assert named_photos("~/holiday") == [Path.cwd() / photo for photo in photos]
    assert named_person("absent.jpg").files == (Path("absent.jpg"),)  # its reader says it
    keep_person("alice", identity_of(0.5))
    with pytest.raises(IdentityFileError, match=r"no such file, and no kept person .* mean alice"):
        named_person("alic")
    assert named_identity("alice") == find_person("alice")
    for text in ("", "  "):
        with pytest.raises(ValueError, match="is neither a photo nor the name of a person"):
            named_person(text)
