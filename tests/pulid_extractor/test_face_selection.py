"""Which face is meant, by word, number and box."""

from __future__ import annotations

import numpy as np
import pytest

from pulid_extractor.face_selection import from_left, select_face
from pulid_extractor.faces import Face
from pulid_sdcpp.errors import FaceNotThereError
from pulid_sdcpp.identity.face_choice import FaceChoice


def face_at(x: float, y: float, side: float) -> Face:
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Face(box, 0.9, np.zeros((5, 2), np.float32))


FACES = [face_at(500, 300, 90), face_at(100, 50, 60), face_at(900, 500, 80), face_at(420, 90, 50)]


@pytest.mark.parametrize(
    ("choice", "index"),
    [("largest", 0), ("left", 1), ("right", 2), ("center", 0), (0, 1), (1, 3), (2, 0), (3, 2)],
)
def test_selection(choice: FaceChoice, index: int) -> None:
    assert select_face(FACES, choice, width_px=1000, height_px=600) is FACES[index]


@pytest.mark.parametrize("choice", [4, -1])
def test_a_face_that_is_not_there(choice: int) -> None:
    said = f"face {choice} was asked for, but the photo has 4 faces, numbers 0 to 3"
    with pytest.raises(FaceNotThereError, match=said):
        select_face(FACES, choice, width_px=1000, height_px=600)


@pytest.mark.parametrize("choice", ["biggest", "", True, 1.5, None])
def test_no_such_choice(choice: object) -> None:
    with pytest.raises(ValueError, match="expected one of largest, left"):
        select_face(FACES, choice, width_px=1000, height_px=600)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "index"),
    [
        ((455, 255, 90, 90), 0),  # just the face
        ((70, 20, 60, 60), 1),
        ((480, 280, 10, 10), 0),  # a part of it
        ((350, 20, 250, 400), 0),  # two in it: the one that fills more of it
        ((300, 20, 150, 100), 3),  # its middle, and only its middle
        ((0, 0, 1000, 600), 0),
    ],
)
def test_selection_by_box(box: tuple[int, int, int, int], index: int) -> None:
    assert select_face(FACES, box, width_px=1000, height_px=600) is FACES[index]
    # The same in pixels of the photo as given, twice as large in both directions.
    larger = (2 * box[0], 2 * box[1], 2 * box[2], 2 * box[3])
    chosen = select_face(FACES, larger, width_px=1000, height_px=600, scale=0.5)
    assert chosen is FACES[index]


@pytest.mark.parametrize("box", [(0, 500, 80, 80), (540, 340, 300, 100)])
def test_a_box_without_a_face_says_where_they_are(box: tuple[int, int, int, int]) -> None:
    """The second box touches a face, but means none that was found."""
    with pytest.raises(FaceNotThereError) as raised:
        select_face(FACES, box, width_px=1000, height_px=600, scale=0.5)
    assert str(raised.value).startswith(f"no face in the box {','.join(map(str, box))}; the faces")
    assert "at 140,40,120,120; 790,130,100,100; 910,510,180,180; 1720,920,160,160" in str(
        raised.value
    )


def test_from_left_is_how_a_number_counts() -> None:
    chosen = [select_face(FACES, number, width_px=1000, height_px=600) for number in range(4)]
    assert from_left(FACES) == chosen
