from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.pictures.contact_sheet import MIN_CELL_PX, SheetCell, contact_sheet

WHITE = 255
LONG = "a candid photograph of somebody who waits for the last bus at night in the rain " * 3


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 200, (height, width, 3), np.uint8))


def places(sheet: Image.Image, wanted: Image.Image) -> list[tuple[int, int]]:
    """Left upper corners where `wanted` is on the sheet, pixel by pixel."""
    found, needle = np.asarray(sheet), np.asarray(wanted)
    height, width = needle.shape[:2]
    candidates = np.argwhere((found == needle[0, 0]).all(axis=-1))
    return [
        (int(x), int(y))
        for y, x in candidates
        if np.array_equal(found[y : y + height, x : x + width], needle)
    ]


def ink_rows(part: np.ndarray) -> np.ndarray:
    return np.flatnonzero((part < WHITE // 2).all(axis=-1).any(axis=1))


def test_pictures_of_the_cell_size_are_shown_as_they_are_in_rows_and_columns() -> None:
    pictures = [[noise(96, 96, 3 * row + column) for column in range(3)] for row in range(2)]
    sheet = contact_sheet(
        [[SheetCell(picture, "0.83") for picture in row] for row in pictures],
        ["reference", "one", "two"],
        cell_px=96,
    )
    corners = [[places(sheet, picture) for picture in row] for row in pictures]
    assert all(len(found) == 1 for row in corners for found in row)
    lefts = [[found[0][0] for found in row] for row in corners]
    tops = [[found[0][1] for found in row] for row in corners]
    assert lefts[0] == lefts[1]
    assert lefts[0][1] - lefts[0][0] > lefts[0][2] - lefts[0][1] >= 96 + 4
    assert len(set(tops[0])) == len(set(tops[1])) == 1
    assert tops[1][0] - tops[0][0] > 96


def test_the_same_sheet_has_the_same_bytes() -> None:
    rows = [[SheetCell(noise(100, 80), "Ågot 0.83"), SheetCell(None, "none")]]
    first, second = (contact_sheet(rows, ["reference", LONG]).tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("size", "shown"), [((400, 200), (96, 48)), ((20, 40), (48, 96))])
def test_others_are_fitted_and_centred(size: tuple[int, int], shown: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "blue")
    sheet = np.asarray(contact_sheet([[SheetCell(picture)]], [""], cell_px=96))
    blue = (sheet == (0, 0, 255)).all(axis=-1)
    ys, xs = np.flatnonzero(blue.any(axis=1)), np.flatnonzero(blue.any(axis=0))
    assert (len(xs), len(ys)) == shown
    assert blue[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].all()
    left, right = xs[0], sheet.shape[1] - 1 - xs[-1]
    assert abs(left - right) <= 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_any_mode_are_taken(mode: str) -> None:
    picture = noise(64, 64).convert(mode)
    sheet = contact_sheet([[SheetCell(picture)]], [""], cell_px=64)
    assert len(places(sheet, picture.convert("RGB"))) == 1


def test_titles_and_captions_are_written_in_their_columns() -> None:
    plain = contact_sheet([[SheetCell(None), SheetCell(None)]], ["", ""], cell_px=96)
    titled = contact_sheet([[SheetCell(None), SheetCell(None)]], ["", "words"], cell_px=96)
    assert titled.height > plain.height
    found = np.asarray(titled)
    assert not len(ink_rows(found[:, :100]))
    assert len(ink_rows(found[:, 110:])) > 4
    captioned = contact_sheet([[SheetCell(None, "0.83"), SheetCell(None)]], ["", ""], cell_px=96)
    assert captioned.size == plain.size
    changed = np.argwhere(np.asarray(captioned) != np.asarray(plain))
    assert changed[:, 0].min() > 96
    assert changed[:, 1].max() < 100


@pytest.mark.parametrize("text", [LONG, "x" * 400, f"{'x' * 60} {LONG}"])
def test_long_texts_stay_within_their_column(text: str) -> None:
    cells = [SheetCell(None, text), SheetCell(None)]
    sheet = contact_sheet([cells], [text, ""], cell_px=96, first_column_apart=False)
    assert not len(ink_rows(np.asarray(sheet)[:, 101:]))
    assert sheet.height < 96 * 2.5


def test_a_long_title_takes_several_lines() -> None:
    one = contact_sheet([[SheetCell(None)]], ["a bus"], cell_px=96)
    several = contact_sheet([[SheetCell(None)]], ["a bus at night in the rain"], cell_px=96)
    assert several.height > one.height + 5
    assert several.width == one.width


@pytest.mark.parametrize(
    ("rows", "titles", "cell_px", "words"),
    [
        ([], ["a"], 96, "found 0 x 1"),
        ([[]], [], 96, "found 1 x 0"),
        ([[SheetCell(None)]], ["a", "b"], 96, "row 0: expected 2 pictures, found 1"),
        ([[SheetCell(None)]], ["a"], MIN_CELL_PX - 1, "cell_px is 63"),
    ],
)
def test_what_makes_no_sheet_is_refused(
    rows: list[list[SheetCell]], titles: list[str], cell_px: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        contact_sheet(rows, titles, cell_px=cell_px)
