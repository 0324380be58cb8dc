"""`pulid-sdcpp cache`: what is kept is shown, and goes when it is told to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from file_drafts import write_pulid_weights
from hub_server import hub_of_a_user
from pulid_sdcpp import Identity
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.cache import _KINDS
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.folding.cache import FoldingCache
from pulid_sdcpp.identity.kept_people import keep_person, kept_person
from pulid_sdcpp.identity.store import keep_identity, store_folder, write_entry
from pulid_sdcpp.store import kept_files
from pulid_sdcpp.store.resumable_download import PART_SUFFIX

Person = Callable[[int, bytes], Identity]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    with hub_of_a_user(tmp_path):
        yield tmp_path


@pytest.fixture
def enrolled(home: Path) -> Person:
    """Makes a person as one would be after a picture: kept, and folded in two types."""
    path = write_pulid_weights(home / "pulid.safetensors")
    os.utime(path, ns=(10**18, 10**18))  # long enough ago for its hash to be remembered

    def make(number: int, photo: bytes) -> Identity:
        tokens = np.random.default_rng(number).standard_normal((32, 64)).astype("<f2")
        identity = Identity.from_array(tokens.astype(np.float32))
        made = {"source_sha256": f"other,{hashlib.sha256(photo).hexdigest()}"}
        identity = replace(identity, metadata=made, dtype="f16")
        write_entry(store_folder(), f"key{number}", identity)
        keep_identity(identity)
        with PulidWeights(path) as weights:
            cache = FoldingCache(weights, 1 << 30)
            for dtype in ("f16", "f32"):
                list(cache.fold(identity.tokens, dtype))
        return identity

    return make


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(main, ["cache", *arguments], input=input)


def kept(home: Path) -> set[str]:
    folders = ("identities", "folded")
    suffixes = (".pulidembd", ".folded")
    files = (path for name in folders for path in (home / "cache" / name).iterdir())
    return {path.name for path in files if path.suffix in suffixes}


def test_nothing_is_kept_at_first() -> None:
    result = run("info")
    assert result.exit_code == 0
    assert "identities   nothing: identities made from photos\n" in result.stdout
    assert "together" not in result.stdout
    assert run("clear", "--yes").stdout == "nothing to remove\n"


def test_the_kinds_are_those_that_can_be_cleared() -> None:
    assert tuple(one.name for one in kept_files.kept_files()) == _KINDS


def test_what_is_kept_is_shown_with_its_size(home: Path, enrolled: Person) -> None:
    enrolled(1, b"photo")
    part = home / "hub" / "models--a--b" / "blobs" / f"x{PART_SUFFIX}"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 8192)
    rows = {row["name"]: row for row in json.loads(run("info", "--json").stdout)}
    assert rows["identities"]["files"] == 1  # keep_identity finds the other copy
    assert rows["folded"]["files"] == 3  # two types, and the hash of the weights
    assert rows["folded"]["private"]
    assert rows["downloads"]["bytes"] == 8192
    assert Path(rows["identities"]["folder"]) == home / "cache" / "identities"
    lines = run("info").stdout
    assert "in 1 file: identities made from photos, personal data\n" in lines
    assert "8 kB in 1 file: unfinished downloads\n" in lines


def test_what_is_named_is_cleared_after_a_question(home: Path, enrolled: Person) -> None:
    enrolled(1, b"photo")
    assert run("clear", "folded", input="n\n").exit_code == 1
    assert len(kept(home)) == 3
    result = run("clear", "folded", "--yes")
    assert result.exit_code == 0
    assert "goes:  folded, 3 files, " in result.stdout
    assert "freed " in result.stdout
    assert len(kept(home)) == 1
    assert run("clear", "--yes").exit_code == 0
    assert not kept(home)


def test_a_misspelt_kind_is_said() -> None:
    result = run("clear", "identites")
    assert result.exit_code == 2
    assert "did you mean identities?" in result.stderr


@pytest.mark.parametrize("by", ["photo", "file", "hash", "name"])
def test_a_person_is_forgotten_and_nobody_else(home: Path, enrolled: Person, by: str) -> None:
    other = enrolled(2, b"another photo")
    others = kept(home)
    somebody = enrolled(1, b"a photo")
    photo, file = home / "me.jpg", home / "me.pulidembd"
    photo.write_bytes(b"a photo")
    somebody.save(file)
    keep_person("Alice", somebody)
    hashed = somebody.short_hash
    name = {"photo": str(photo), "file": str(file), "hash": hashed, "name": "alice"}[by]
    assert run("forget", name, input="n\n").exit_code == 1
    assert len(kept(home)) == 6
    result = run("forget", name, "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("goes:  ") == 3
    assert kept(home) == others
    assert other.short_hash in " ".join(others)
    assert photo.exists()
    assert file.exists()
    assert kept_person("alice").identity.short_hash == hashed
    assert run("forget", name).stdout == "nothing is kept of this person\n"


def test_who_is_nobody_is_an_error() -> None:
    result = run("forget", "alice")
    assert result.exit_code == 2
    assert "'alice' is neither a photo, nor an identity file, nor the hash of an identity" in (
        result.stderr
    )


def test_loras_of_a_killed_process_are_found_and_not_those_in_use(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files.tempfile, "gettempdir", lambda: str(home))
    for name, age_s in (("left", 2 * 86400), ("used", 60)):
        folder = home / f"pulid-sdcpp-loras-{name}"
        folder.mkdir()
        (folder / "1-a.safetensors").write_bytes(b"lora")
        then = kept_files.time.time() - age_s
        os.utime(folder, (then, then))
    assert run("clear", "loras", "--yes").exit_code == 0
    assert [path.name for path in home.glob("pulid-sdcpp-loras-*")] == ["pulid-sdcpp-loras-used"]
