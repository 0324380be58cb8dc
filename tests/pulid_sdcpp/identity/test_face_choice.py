from __future__ import annotations

import math

import pytest

from pulid_sdcpp.identity.face_choice import check_face_choice, parse_face_choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("largest", "largest"), ("left", "left"), ("right", "right"), ("center", "center"),
        ("0", 0), ("12", 12),
        ("120,80,64,70", (120.0, 80.0, 64.0, 70.0)),
        ("-5, 0, 64.5, 70", (-5.0, 0.0, 64.5, 70.0)),
    ],
)  # fmt: skip
def test_what_users_write(text: str, choice: object) -> None:
    parsed = parse_face_choice(text)
    assert parsed == choice
    assert type(parsed) is type(choice)
    assert check_face_choice(parsed) == choice


def test_a_box_may_be_any_four_numbers_in_a_row() -> None:
    assert check_face_choice([1, 2, 3, 4]) == (1.0, 2.0, 3.0, 4.0)
    assert hash(check_face_choice([1, 2, 3, 4])) == hash((1.0, 2.0, 3.0, 4.0))


@pytest.mark.parametrize(
    "choice",
    ["best", "", "1,2,3", "1,2,3,4,5", "1,2,3,x", "nan,0,1,1", "1e3,0,1,1", "-1", "²", True, None,
     1.5, [1, 2, 3], (1, 2, 3, 4, 5), b"1234"],
)  # fmt: skip
def test_no_choice(choice: object) -> None:
    with pytest.raises(ValueError, match="expected one of largest, left, right, center, a number"):
        parse_face_choice(choice) if isinstance(choice, str) else check_face_choice(choice)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 5), (0, 0, 5, 0), (0, 0, -1, 5), (0, math.nan, 5, 5), (math.inf, 0, 5, 5),
     (True, 0, 5, 5), ("0", 0, 5, 5)],
)  # fmt: skip
def test_no_box(box: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="expected a box as x, y, width, height in pixels"):
        check_face_choice(box)
