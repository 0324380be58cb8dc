"""Which picture stands where on a batch's contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp import Identity
from pulid_sdcpp.batch import sheet as batch_sheet
from pulid_sdcpp.batch.job import BatchJob
from pulid_sdcpp.batch.sheet import write_contact_sheets
from pulid_sdcpp.people.person_spec import PersonSpec

SIDE_PX = 128


class Sheets:
    """What `contact_sheet` was asked for: captions and colours by place."""

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []

    def __call__(self, rows: Any, titles: Sequence[str], **options: Any) -> Image.Image:
        cells = [[(cell.image and cell.image.getpixel((0, 0)), cell.caption) for cell in row]
                 for row in rows]  # fmt: skip
        assert all(len(row) == len(titles) for row in rows)
        self.pages.append({"cells": cells, "titles": list(titles), **options})
        return Image.new("RGB", (4, 4))


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> Sheets:
    drawn = Sheets()
    monkeypatch.setattr(batch_sheet, "contact_sheet", drawn)
    return drawn


def jobs_of(
    folder: Path, places: Sequence[tuple[str, str, int, float]], *, missing: Sequence[int] = ()
) -> tuple[list[BatchJob], dict[str, Path]]:
    """Jobs by (person, prompt, seed, weight); picture i is (i, 0, 0), portraits are blue."""
    jobs, pictures = [], {}
    for index, (who, prompt, seed, weight) in enumerate(places):
        portrait = folder / f"{who or 'nobody'}.png"
        Image.new("RGB", (300, 200), (0, 0, 255)).save(portrait)
        people = (PersonSpec(who, (portrait,), weight=weight),) if who else ()
        job = BatchJob("", f"{index}.png", prompt, prompt, seed, people)
        jobs.append(job)
        if index not in missing:
            path = pictures[job.file_name] = folder / job.file_name
            Image.new("RGB", (SIDE_PX, SIDE_PX), (index, 0, 0)).save(path)
    return jobs, pictures


def red(page: dict[str, Any]) -> list[list[int | None]]:
    """Numbers of the pictures, without the first column."""
    return [[image and image[0] for image, _ in row[1:]] for row in page["cells"]]


def test_rows_are_people_and_columns_prompts(tmp_path: Path, sheets: Sheets) -> None:
    places = [(who, prompt, 1, 1.0) for prompt in ("one", "two") for who in ("alice", "bob", "")]
    jobs, pictures = jobs_of(tmp_path, places, missing=[4])
    assert write_contact_sheets(jobs, pictures, tmp_path) == [tmp_path / "contact-sheet.png"]
    (page,) = sheets.pages
    assert page["titles"] == ["", "one", "two"]
    assert red(page) == [[0, 3], [1, None], [2, 5]]
    assert [row[0] for row in page["cells"]] == [
        ((0, 0, 255), "alice"), ((0, 0, 255), "bob"), (None, "nobody"),
    ]  # fmt: skip
    assert page["cells"][1][2][1] == "not made"
    assert page["cells"][0][1][1] == ""  # nothing varies that a caption would say
    assert page["cell_px"] == SIDE_PX
    assert (tmp_path / "contact-sheet.png").is_file()


def test_seeds_and_weights_have_rows_of_their_own(tmp_path: Path, sheets: Sheets) -> None:
    places = [(who, prompt, seed, weight) for prompt in ("one", "two") for who in ("alice", "bob")
              for weight in (0.5, 1.0) for seed in (1, 2)]  # fmt: skip
    jobs, pictures = jobs_of(tmp_path, places)
    write_contact_sheets(jobs, pictures, tmp_path)
    (page,) = sheets.pages
    captions = [[caption for _, caption in row] for row in page["cells"]]
    assert captions == [
        [who, *[f"seed {seed}, weight {weight}"] * 2]
        for who in ("alice", "bob")
        for seed in (1, 2)
        for weight in ("0.5", "1")
    ]
    assert red(page)[0] == [0, 8]


def test_a_portrait_stands_in_the_first_of_a_persons_rows(tmp_path: Path, sheets: Sheets) -> None:
    places = [(who, "one", seed, 1.0) for who in ("alice", "bob") for seed in range(20)]
    jobs, pictures = jobs_of(tmp_path, places)
    write_contact_sheets(jobs, pictures, tmp_path)
    shown = [[row[0][0] is not None for row in page["cells"]] for page in sheets.pages]
    first_page = [row in (0, 20) for row in range(24)]
    second_page = [row == 0 for row in range(16)]  # where it could not be seen otherwise
    assert shown == [first_page, second_page]


def test_people_of_one_picture_stand_side_by_side(tmp_path: Path, sheets: Sheets) -> None:
    people = []
    for name, color in (("ann", "red"), ("bob", "lime")):
        Image.new("RGB", (90, 90), color).save(tmp_path / f"{name}.png")
        people.append(PersonSpec(name, (tmp_path / f"{name}.png",)))
    jobs = [BatchJob("", "both.png", "one", "one", 1, tuple(people))]
    Image.new("RGB", (SIDE_PX, SIDE_PX)).save(tmp_path / "both.png")
    seen: list[Image.Image] = []
    layout = batch_sheet._Layout(jobs)
    for rows, _ in layout.pages():
        cells = layout.cells(rows, {"both.png": tmp_path / "both.png"}, SIDE_PX)
        seen.append(cells[0][0].image)
    (both,) = seen
    middle = SIDE_PX // 2
    assert both.getpixel((middle // 2, middle)) == (255, 0, 0)
    assert both.getpixel((middle + middle // 2, middle)) == (0, 255, 0)


def test_a_place_that_is_taken_makes_another_row(tmp_path: Path, sheets: Sheets) -> None:
    jobs, pictures = jobs_of(tmp_path, [("alice", "one", 1, 1.0)] * 2 + [("alice", "two", 1, 1.0)])
    write_contact_sheets(jobs, pictures, tmp_path)
    assert red(sheets.pages[0]) == [[0, 2], [1, None]]


def test_a_list_without_a_grid_just_flows(tmp_path: Path, sheets: Sheets) -> None:
    places = [(f"p{index}", f"prompt {index}", 1, 1.0) for index in range(8)]
    jobs, pictures = jobs_of(tmp_path, places, missing=[7])
    write_contact_sheets(jobs, pictures, tmp_path)
    (page,) = sheets.pages
    assert page["titles"] == [""] * 6
    assert [cell[1] for row in page["cells"] for cell in row] == [
        *map(str, range(7)), "not made: 7", "", "", "", "",
    ]  # fmt: skip
    assert not page["first_column_apart"]


def test_large_batches_have_several_sheets(tmp_path: Path, sheets: Sheets) -> None:
    places = [(f"p{who}", f"{prompt}", 1, 1.0) for who in range(25) for prompt in range(13)]
    jobs, pictures = jobs_of(tmp_path, places[:1])
    more, _ = jobs_of(tmp_path, places[1:], missing=range(len(places)))
    written = write_contact_sheets([*jobs, *more], pictures, tmp_path)
    assert [path.name for path in written] == [f"contact-sheet-{n}.png" for n in (1, 2, 3, 4)]
    assert [len(page["cells"]) for page in sheets.pages] == [24, 24, 1, 1]
    assert [len(page["titles"]) for page in sheets.pages] == [13, 2, 13, 2]
    assert red(sheets.pages[0])[0][0] == 0


def test_a_person_of_an_identity_file_or_a_bad_photo_has_no_portrait(
    tmp_path: Path, sheets: Sheets
) -> None:
    jobs, pictures = jobs_of(tmp_path, [("alice", "one", 1, 1.0), ("bob", "one", 1, 1.0)])
    Identity.from_array([[1.0]]).save(tmp_path / "alice.png", overwrite=True)
    (tmp_path / "bob.png").write_bytes(b"no picture")
    write_contact_sheets(jobs, pictures, tmp_path)
    assert [row[0] for row in sheets.pages[0]["cells"]] == [(None, "alice"), (None, "bob")]


def test_without_pictures_there_is_no_sheet(tmp_path: Path) -> None:
    jobs, _ = jobs_of(tmp_path, [("alice", "one", 1, 1.0)], missing=[0])
    assert write_contact_sheets(jobs, {}, tmp_path) == []


def test_a_real_sheet_has_the_same_bytes_again(tmp_path: Path) -> None:
    places = [("alice", prompt, seed, 1.0) for prompt in ("one", "two") for seed in (1, 2)]
    jobs, pictures = jobs_of(tmp_path, places)
    found = []
    for order in (pictures, dict(reversed(pictures.items()))):
        (sheet,) = write_contact_sheets(jobs, order, tmp_path)
        found.append(sheet.read_bytes())
    assert found[0] == found[1]
    with Image.open(tmp_path / "contact-sheet.png") as image:
        assert image.width > 3 * SIDE_PX
        assert image.height > 2 * SIDE_PX
