from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp import OutputFileError
from pulid_sdcpp.store.license_acceptance import remember_accepted, unaccepted
from pulid_sdcpp.store.registry import License

FREE = License("Apache-2.0", "https://a", commercial=True)
DEV = License("dev", "https://d")
FACES = License("faces", "https://f")
ALL = {"free": FREE, "dev": DEV, "faces": FACES}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_what_was_accepted_is_not_asked_for_again() -> None:
    assert unaccepted(ALL) == {"dev": DEV, "faces": FACES}
    remember_accepted([DEV])
    assert unaccepted(ALL) == {"faces": FACES}
    remember_accepted([FACES])
    assert unaccepted(ALL) == {}


def test_terms_that_changed_are_asked_for_again() -> None:
    remember_accepted([DEV])
    changed = License("dev", "https://d/v2")
    assert unaccepted({"dev": changed}) == {"dev": changed}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accepted": 5}'])
def test_a_damaged_note_means_nothing_was_accepted(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "accepted-licenses.json").write_text(content)
    assert unaccepted(ALL) == {"dev": DEV, "faces": FACES}
    remember_accepted([DEV])
    assert unaccepted(ALL) == {"faces": FACES}


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    folder.write_text("a file in its place")
    with pytest.raises(OutputFileError, match="cannot write"):
        remember_accepted([DEV])
