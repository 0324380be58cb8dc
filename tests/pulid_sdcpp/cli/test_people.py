"""`people`: keeping people by name; the extractor only pretends."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.given import model_pull
from pulid_sdcpp.extraction import enrolment
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import kept_names
from pulid_sdcpp.identity.store import find_identity, keep_identity

TOKENS = np.full((4, 8), 0.5, np.float32)


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[Path]]:
    """What was extracted."""
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    picture = Image.new("RGB", (400, 300), "red")
    picture.paste("blue", (100, 100, 200, 200))
    for name in ("a.png", "b.png"):
        picture.save(name)
    made: list[list[Path]] = []

    def enroll(self: object, photos: Any, **options: Any) -> Identity:
        made.append(list(photos))
        return Identity.from_array(TOKENS, face_box=[100, 100, 200, 200])

    monkeypatch.setattr(enrolment.Enroller, "enroll", enroll)
    return made


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["people", *arguments])
    assert result.exit_code == status, result.output
    return result


def add(name: str, *photos: str) -> Result:
    return run("add", name, *photos, "--preset", "pocket")


def test_from_photos_to_a_file_and_back(calls: list[list[Path]]) -> None:
    assert "no person is kept" in run("list").stdout
    short_hash = Identity.from_array(TOKENS).short_hash
    assert add("Alice", "a.png", "b.png").stdout == f"kept Alice: identity {short_hash}\n"
    assert calls == [[Path("a.png"), Path("b.png")]]
    assert f"Alice  {short_hash}" in run("list").stdout
    (row,) = json.loads(run("list", "--json").stdout)
    assert (row["name"], row["id"], row["photos"]) == ("Alice", short_hash, ["a.png", "b.png"])
    assert json.loads(run("show", "alice", "--json").stdout) == row
    assert "photos: a.png, b.png" in run("show", "alice").stdout

    run("export", "alice")
    exported = Path("Alice.pulidembd")
    assert b"a.png" not in exported.read_bytes()
    assert run("export", "alice", status=1).stderr.startswith("error: cannot write Alice.pulid")
    assert "name ends in" in run("export", "alice", "a.png", status=2).stderr
    assert "Alice is now Bob" in run("rename", "Alice", "Bob").stdout.replace("alice", "Alice")
    run("import", "Alice.pulidembd")
    run("import", "Alice.pulidembd", "carol")
    run("add", "dan", "Alice.pulidembd")
    assert kept_names() == ("Alice", "Bob", "carol", "dan")
    assert len(calls) == 1


def test_the_face_is_kept_as_a_small_picture() -> None:
    add("alice", "a.png")
    run("show", "alice", "--preview", "face.jpg")
    assert "name a .jpg" in run("show", "alice", "--preview", "face.png", status=2).stderr
    with Image.open("face.jpg") as face:
        assert (face.format, face.size) == ("JPEG", (180, 180))
        middle, corner = face.getpixel((90, 90)), face.getpixel((10, 10))
    assert middle[2] > 200 > 60 > middle[0]  # type: ignore[index, operator]
    assert corner[0] > 200 > 60 > corner[2]  # type: ignore[index, operator]
    if os.name != "nt":
        assert Path("face.jpg").stat().st_mode & 0o077 == 0
    Identity.from_array(TOKENS).save(Path("x.pulidembd"))
    run("import", "x.pulidembd")
    assert "there is no picture of x" in run("show", "x", "--preview", "x.jpg", status=1).stderr


def test_nobody_is_replaced_and_nothing_extracted_for_it(calls: list[list[Path]]) -> None:
    add("alice", "a.png")
    result = run("add", "ALICE", "a.png", status=1)
    assert result.stderr == (
        "error: there is a kept person alice; choose another name, or replace alice with "
        "--overwrite\n"
    )
    assert len(calls) == 1
    run("add", "ALICE", "a.png", "--overwrite", "--preset", "pocket")
    assert kept_names() == ("ALICE",)


def add_for(encoder: str, *arguments: str, monkeypatch: pytest.MonkeyPatch, status: int = 0,
            source: str = "0a") -> Result:  # fmt: skip
    """As `add`, with weights of an encoder: each makes other tokens of the same photos."""
    tokens = TOKENS + np.float32(0.01) * len(encoder)

    def enroll(self: object, photos: Any, **options: Any) -> Identity:
        return Identity.from_array(tokens, encoder=encoder, source_sha256=source)

    monkeypatch.setattr(enrolment.Enroller, "enroll", enroll)
    monkeypatch.setattr(enrolment.Enroller, "encoder", property(lambda self: encoder))
    return run("add", *arguments, "a.png", "--preset", "pocket", status=status)


def test_somebody_can_have_an_identity_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    add_for("flux", "alice", monkeypatch=monkeypatch)
    added = add_for("sdxl-v1", "Alice", monkeypatch=monkeypatch)
    assert added.stdout.startswith("kept alice: identity ")
    assert added.stdout.endswith(" for PuLID v1 for SDXL\n")
    assert kept_names() == ("alice",)
    assert run("list").stdout.splitlines()[0].endswith("1 photo    flux, sdxl-v1")
    assert "encoders: flux, sdxl-v1" in run("show", "alice").stdout
    again = add_for("sdxl-v1", "alice", monkeypatch=monkeypatch, status=1)
    assert "there is a kept person alice; choose" in again.stderr
    others = add_for("sdxl-v1.1", "alice", monkeypatch=monkeypatch, status=1, source="0b")
    assert "kept person alice from other photos, so this one, by PuLID v1.1" in others.stderr
    run("export", "alice", "flux.pulidembd")
    run("export", "alice", "v1.pulidembd", "--encoder", "sdxl-v1")
    assert Identity.load("flux.pulidembd").encoder == "flux"
    assert Identity.load("v1.pulidembd").encoder == "sdxl-v1"
    missing = run("export", "alice", "--encoder", "sdxl-v1.1", status=1).stderr
    assert "no identity for PuLID v1.1 for SDXL, but for PuLID for Flux or PuLID v1" in missing
    run("rename", "alice", "bob")
    assert "encoders: flux, sdxl-v1" in run("show", "bob").stdout
    # Of other photos: a new person, with nothing of the former.
    add_for("sdxl-v1.1", "bob", "--overwrite", monkeypatch=monkeypatch, source="0b")
    assert "encoders: sdxl-v1.1\n" in run("show", "bob").stdout


def test_all_identities_of_somebody_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    add_for("sdxl-v1", "alice", monkeypatch=monkeypatch)
    add_for("flux", "alice", monkeypatch=monkeypatch)
    hashes = []
    for encoder in ("flux", "sdxl-v1"):
        run("export", "alice", f"{encoder}.pulidembd", "--encoder", encoder)
        identity = Identity.load(f"{encoder}.pulidembd")
        keep_identity(identity)
        hashes.append(identity.short_hash)
    assert all(find_identity(one) is not None for one in hashes)
    run("rm", "alice", "-y")
    assert [find_identity(one) for one in hashes] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["add", "a/b", "a.png"], 2, "'a/b' cannot be the name of a kept person: it has /"),
        (["add", "me.jpg", "a.png"], 2, "it is the name of a file"),
        (["add", "x", "gone.png"], 1, "gone.png: no such file; expected a photo"),
        (["add", "x"], 2, "Missing argument 'PHOTO...'"),
        (["show", "x"], 1, "there is no kept person 'x'"),
        (["rm", "x", "-y"], 1, "there is no kept person 'x'"),
        (["import", "a.png", "x"], 1, "expected an identity file"),
    ],
)
def test_mistakes(arguments: list[str], status: int, words: str) -> None:
    assert words in run(*arguments, status=status).stderr
    assert kept_names() == ()


def test_with_strict_a_doubtful_photo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful = Identity.from_array(
        TOKENS, photo_warnings=["small_face 2 64", "different_people 2 0.1"]
    )
    monkeypatch.setattr(enrolment.Enroller, "enroll", lambda self, *_, **__: doubtful)
    result = run("add", "x", "a.png", "b.png", "--preset", "pocket", "--strict", status=1)
    assert "error: photo 2 (b.png): the face is 64 pixels wide" in result.stderr
    assert "(and 1 more); nothing is written, because of --strict" in result.stderr
    assert kept_names() == ()
    add("x", "a.png", "b.png")
    assert "warning: photo 2 (b.png): the face is 64" in run("show", "x").stdout
    (row,) = json.loads(run("list", "--json").stdout)
    assert [(one["code"], one["photos"]) for one in row["warnings"]] == [
        ("small_face", [2]),
        ("different_people", [2]),
    ]


def test_an_identity_file_is_not_fused() -> None:
    Identity.from_array(TOKENS).save(Path("x.pulidembd"))
    assert "cannot be fused" in run("add", "x", "a.png", "x.pulidembd", status=2).stderr


def test_who_is_forgotten_is_in_the_cache_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Identity.from_array(TOKENS)
    keep_identity(identity)
    for name in ("alice", "twin"):
        add(name, "a.png")
    asked: list[str] = []
    monkeypatch.setattr(model_pull, "ask", lambda question, flag: asked.append(question))
    run("rm", "Alice")
    assert asked == ["Forget alice?"]
    assert find_identity(identity.short_hash) is not None  # the twin has it, too
    run("rm", "twin", "--yes")
    assert find_identity(identity.short_hash) is None
    assert kept_names() == ()


def test_who_is_named_twice_or_is_damaged_is_forgotten(tmp_path: Path) -> None:
    identity = Identity.from_array(TOKENS)
    keep_identity(identity)
    for name in ("alice", "bob"):
        add(name, "a.png")
    (tmp_path / "data" / "people" / "bob.pulidembd").write_bytes(b"GGUF")
    result = run("rm", "alice", "Alice", "bob", "--yes")
    assert result.stdout == "forgot alice\nforgot bob\n"
    assert "the file of bob was damaged" in result.stderr
    assert kept_names() == ()
    assert find_identity(identity.short_hash) is None


def test_a_preview_has_nothing_of_the_photo_but_the_face() -> None:
    from pulid_sdcpp.pictures.face_thumbnail import THUMBNAIL_PX, face_thumbnail

    photo = Image.new("RGB", (2000, 1000), "red")
    photo.info["exif"] = b"Exif\0\0secret"
    for box in ((0, 0, 800, 900), (-50, -50, 20, 20), (3000, 0, 3100, 100)):
        content = face_thumbnail(photo, box)
        assert b"secret" not in content
        with Image.open(io.BytesIO(content)) as face:
            assert max(face.size) <= THUMBNAIL_PX


def test_the_shell_is_offered_kept_names() -> None:
    from pulid_sdcpp.cli.flags.completions import complete_person, complete_person_or_file

    for name in ("Alice", "bob"):
        add(name, "a.png")
    assert [item.value for item in complete_person(None, None, "a")] == ["Alice"]
    offered = complete_person_or_file(None, None, "b")
    assert {(item.value, item.type) for item in offered} == {("bob", "plain"), ("b", "file")}
