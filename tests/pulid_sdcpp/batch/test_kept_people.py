"""People who are kept by name, and folders of photos, in job files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pulid_sdcpp import BatchFileError, Identity
from pulid_sdcpp.batch.job_file import read_batch
from pulid_sdcpp.identity.kept_people import keep_person, people_folder
from pulid_sdcpp.people.person_spec import PersonSpec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    keep_person("Zoë", Identity.from_array([[0.5, 1.0]]))
    (tmp_path / "holiday").mkdir()
    for name in ("party.png", "holiday/b.png", "holiday/a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def people(folder: Path, text: str) -> tuple[PersonSpec, ...]:
    path = folder / "jobs.toml"
    path.write_text(text, encoding="utf-8")
    (job,) = read_batch(path).jobs
    return job.people


def kept() -> tuple[Path, ...]:
    return (people_folder() / "Zoë.pulidembd",)


@pytest.mark.parametrize(
    "text",
    [
        'prompts = ["x"]\n[people."zoë"]',
        'prompts = ["x"]\n[people."zoë"]\nportraits = "Zoë"',
        'prompts = ["x"]\n[people.her]\nidentity = "zoë"',
        '[[jobs]]\nprompt = "x"\nperson = "zoë:weight=0.5"',
        '[[jobs]]\nprompt = "x"\nperson = { name = "Zoë" }',
    ],
)
def test_a_kept_name_wherever_a_person_is(folder: Path, text: str) -> None:
    (person,) = people(folder, text)
    assert person.files == kept()
    assert person.name.casefold() == "her" if "her" in text else "zoë"


def test_two_of_one_group_photo(folder: Path) -> None:
    left, right = people(
        folder, '[[jobs]]\nprompt = "x"\npeople = ["party.png:face=0", "party.png:face=right"]'
    )
    assert (left.face, right.face) == (0, "right")
    assert left.source != right.source


def test_a_folder_is_its_photos(folder: Path) -> None:
    (person,) = people(folder, 'prompts = ["x"]\n[people.her]\nportraits = "holiday"')
    assert person.files == (folder / "holiday/a.png", folder / "holiday/b.png")
    (person,) = people(folder, '[[jobs]]\nprompt = "x"\nperson = "holiday"')
    assert person.name == "holiday"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('prompts = ["x"]\n[people.bob]', "no person is kept by the name 'bob'"),
        ('[[jobs]]\nprompt = "x"\nperson = "bob"', "there is no file"),
        ('[[jobs]]\nprompt = "x"\nperson = "data"', "there is no photo in this folder"),
        ('[[jobs]]\nprompt = "x"\nperson = "zoë:face=0"', "face chooses on a photo"),
    ],
)
def test_nobody_is_an_error(folder: Path, text: str, message: str) -> None:
    with pytest.raises(BatchFileError, match=message):
        people(folder, text)


def test_a_contact_sheet_shows_the_kept_face(folder: Path) -> None:
    from pulid_sdcpp.batch.sheet import _read_portrait

    photo = folder / "party.png"
    person = keep_person("bob", Identity.from_array([[0.5, 1.0]]), preview=photo.read_bytes())
    portrait = _read_portrait(person.path, 64)
    assert portrait is not None
    assert max(portrait.size) <= 64
    assert _read_portrait(kept()[0], 64) is None
