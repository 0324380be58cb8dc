"""Axes of a grid, its pictures, and its sheets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from pulid_sdcpp.batch.grid import check_axes, grid_cells, parse_axis
from pulid_sdcpp.batch.grid_sheet import sheet_paths, write_grid_sheets
from pulid_sdcpp.batch.plan import SHEET_TEXT
from pulid_sdcpp.errors import OutputExistsError
from pulid_sdcpp.pictures.png_text import read_picture_text, save_picture


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("id-weight=0.6,0.8,1.0", "weight", (0.6, 0.8, 1.0)),
        ("weight=1", "weight", (1.0,)),
        ("--seed=1, 2 ,3", "seed", (1, 2, 3)),
        ("seed=1-3,7", "seed", (1, 2, 3, 7)),
        ("steps=4-4", "steps", (4,)),
        ("cfg_scale=1,2.5", "cfg_scale", (1.0, 2.5)),
        ("id-start-step=0,20%", "start_step", (0, 0.2)),
        ('prompt="red, or blue",green', "prompt", ("red, or blue", "green")),
        ('prompt="say ""hi""",b', "prompt", ('say "hi"', "b")),
        ("prompt=a=b,c", "prompt", ("a=b", "c")),
        ("sampling-method=euler,heun", "sampling_method", ("euler", "heun")),
        ("person=a.jpg:weight=1,b.jpg", "person", ("a.jpg:weight=1", "b.jpg")),
        ("replace=red,blue,", "replace", ("red", "blue", "")),
        ("negative-prompt=a,", "negative_prompt", ("a", "")),
    ],
)
def test_an_axis_is_a_flag_and_its_values(
    text: str, field: str, values: tuple[object, ...]
) -> None:
    axis = parse_axis(text)
    assert (axis.field, axis.values) == (field, values)
    assert [type(one) for one in axis.values] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed", "'seed' is no axis; write it as in id-weight=0.6,0.8,1.0"),
        ("=1", "is no axis"),
        ("id-wieght=1", "'id-wieght' is nothing that a grid can vary; did you mean id-weight?"),
        ("vram=4", "'vram' is nothing that a grid can vary"),
        ("batch-count=4", "nothing that a grid can vary"),
        ("seed=", "an empty value"),
        ("seed=1,,2", "an empty value"),
        ("replace=,a", "an empty value"),
        ("seed=1,1", "seed has '1' twice"),
        ("seed=1-2,2", "seed has '2' twice"),
        ("guidance=1.0,1", "guidance has '1.0' twice"),
        ("seed=3-1", "'3-1' is no range"),
        ("seed=a", "'a' is not a whole number"),
        ("id-weight=a", "'a' is not a number"),
        ("id-weight=9", "weight is 9"),
        ("mask=absent.png", "there is no file 'absent.png'"),
        ('prompt="a', "put values with commas in quotes"),
    ],
)
def test_what_is_no_axis_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_axis(text)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["seed=1"] * 4, "3 axes at most"),
        (["weight=1", "id-weight=2"], "weight and id-weight are two axes of one thing"),
        (["person=a", "portrait=b"], "two axes of one thing"),
        (["seed=1-100", "steps=1-11"], "a grid of 1100 pictures; at most 1000"),
    ],
)
def test_axes_that_do_not_go_together(texts: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_axes([parse_axis(text) for text in texts])


def test_pictures_follow_row_by_row_and_each_has_a_name() -> None:
    axes = [parse_axis("id-weight=0.6,1"), parse_axis("seed=1-2"), parse_axis("prompt=A!,a")]
    cells = list(grid_cells(axes))
    assert [cell.place for cell in cells[:5]] == [
        (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1),
    ]  # fmt: skip
    assert cells[1].values == {"weight": 1.0, "seed": 1, "prompt": "A!"}
    assert cells[1].where == "the grid's id-weight 1, seed 1, prompt A!"
    assert cells[1].name == "id-weight-1_seed-1_prompt-a-8982b4"
    assert len({cell.name for cell in cells}) == 8


COLORS = ["red", "green", "blue", "yellow", "white", "black"]


def test_a_sheet_shows_each_picture_at_its_values(tmp_path: Path) -> None:
    axes = [parse_axis("id-weight=0.6,0.8,1"), parse_axis("seed=1-2")]
    pictures = {}
    for cell, color in zip(grid_cells(axes), COLORS, strict=True):
        path = tmp_path / f"{cell.name}.png"
        save_picture(Image.new("RGB", (128, 128), color), path)
        pictures[cell.place] = path
    (written,) = write_grid_sheets(axes, pictures, tmp_path / "sheet.png")
    assert read_picture_text(written) == SHEET_TEXT
    with Image.open(written) as sheet:
        sheet.load()
    found = {}
    for y in range(0, sheet.height, 4):
        for x in range(0, sheet.width, 4):
            found.setdefault(sheet.getpixel((x, y)), (x, y))
    places = {name: found[Image.new("RGB", (1, 1), name).getpixel((0, 0))] for name in COLORS[:4]}
    assert places["red"][0] < places["green"][0] < places["blue"][0]
    assert places["red"][1] == places["green"][1] == places["blue"][1] < places["yellow"][1]
    assert places["red"][0] == places["yellow"][0]
    assert 40 < places["red"][0] < 128  # the rows' titles, and no more
    # Again, and without one.
    before = written.read_bytes()
    write_grid_sheets(axes, pictures, written)
    assert written.read_bytes() == before
    del pictures[(1, 0)]
    write_grid_sheets(axes, pictures, written)
    assert written.read_bytes() != before
    assert write_grid_sheets(axes, {}, written) == []


def test_a_third_axis_makes_sheets_and_no_file_of_the_users_is_replaced(tmp_path: Path) -> None:
    axes = [parse_axis(text) for text in ("id-weight=1", "steps=4", "seed=1,2")]
    picture = tmp_path / "a.png"
    save_picture(Image.new("RGB", (64, 64)), picture)
    pictures = {cell.place: picture for cell in grid_cells(axes)}
    paths = sheet_paths(axes, tmp_path / "sheet.png")
    assert [path.name for path in paths] == ["sheet-1.png", "sheet-2.png"]
    assert write_grid_sheets(axes, pictures, tmp_path / "sheet.png") == paths
    assert paths[0].read_bytes() != paths[1].read_bytes()  # by their titles
    save_picture(Image.new("RGB", (64, 64)), paths[1])
    with pytest.raises(OutputExistsError):
        write_grid_sheets(axes, pictures, tmp_path / "sheet.png")
