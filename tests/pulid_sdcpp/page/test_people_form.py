"""The cards of Create as people of a request, and the places on the stage."""

from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp.extraction.face_looker import LookedAt, SeenFace
from pulid_sdcpp.page.card_choices import EXAMPLE_NAMES, example_of, example_portrait
from pulid_sdcpp.page.people_form import people_in_form
from pulid_sdcpp.page.person_photo import PersonPhoto, faces_html
from pulid_sdcpp.page.region_stage import boxes_in, stage_value
from pulid_sdcpp.server.bodies.pictures_in import PictureIn
from pulid_sdcpp.server.errors import ApiError

PICTURE = PictureIn(b"png", 200, 100, "0" * 64)
FACES = tuple(
    SeenFace(number, (10.0 + 60 * number, 20, 30, 40), 0.9, ("largest",) if number == 1 else ())
    for number in range(3)
)


def photo(count: int = 1, face: int = 0, **more: Any) -> PersonPhoto:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (200, 100)).save(out, "JPEG")
    return PersonPhoto(PICTURE, out.getvalue(), LookedAt(200, 100, FACES[:count]), face, **more)


def card(who: str = "", weight: float = 1, start: Any = 0, end: Any = None, name: str = "") -> Any:
    return [who, weight, start, end, name]


def test_an_empty_card_is_nobody() -> None:
    assert people_in_form(card(), [PersonPhoto()], [True], {}) == ([], {})


def test_a_card_that_is_not_there_is_nobody() -> None:
    assert people_in_form(card("0123456789"), [PersonPhoto()], [False], {}) == ([], {})


def test_a_kept_person_is_named_by_id() -> None:
    people, files = people_in_form(
        card("0123456789", 0.8, 4.0, 10.0), [PersonPhoto()], [True], {0: (0, 0, 0.5, 1)}
    )
    assert people == [
        {
            "weight": 0.8,
            "start_step": 4,
            "end_step": 10,
            "identity": "0123456789",
            "region": {"box": [0, 0, 0.5, 1]},
        }
    ]
    assert files == {}


def test_a_photo_comes_along_with_the_face_that_was_chosen() -> None:
    people, files = people_in_form(card(name=" Rose "), [photo(3, face=2)], [True], {})
    assert people == [
        {"weight": 1, "start_step": 0, "name": "Rose", "photo": "file:photo_0", "face": 2}
    ]
    assert files == {"photo_0": b"png"}


def test_a_photo_nobody_could_look_at_is_left_to_the_engine() -> None:
    people, _ = people_in_form(card(), [PersonPhoto(PICTURE)], [True], {})
    assert "face" not in people[0]


def test_a_painted_place_goes_before_a_box() -> None:
    people, files = people_in_form(card(), [photo(mask=b"mask")], [True], {0: (0, 0, 1, 1)})
    assert people[0]["region"] == {"mask": "file:mask_0"}
    assert files["mask_0"] == b"mask"


def test_a_photo_without_a_face_is_an_error_that_says_what_helps() -> None:
    values = [*card("0123456789"), *card()]
    with pytest.raises(ApiError) as error:
        people_in_form(values, [PersonPhoto(), photo(0)], [True, True], {})
    assert (error.value.code, error.value.param) == ("no_face", "people[1].photo")
    assert "lit" in error.value.message


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_drawn_people_bring_their_portraits(name: str) -> None:
    people, files = people_in_form(card(example_of(name)), [PersonPhoto()], [True], {})
    assert people[0]["name"] == name.title()
    assert files["photo_0"].startswith(b"\x89PNG")


@pytest.mark.parametrize("value", ["", "rose", "example:nobody", "example:../rose"])
def test_nothing_else_is_an_example(value: str) -> None:
    assert example_portrait(value) is None


def test_each_face_is_a_button_of_one_group() -> None:
    html = str(faces_html(photo(3, face=1)))
    assert html.count('role="radio"') == 3
    assert html.count('aria-checked="true"') == 1
    assert 'aria-label="Face 2 of 3, largest"' in html
    assert "left:35.00%" in html


def test_one_face_is_taken_and_none_says_what_helps() -> None:
    assert "This face is used" in faces_html(photo(1))
    assert 'role="alert"' in faces_html(photo(0))


def test_the_stage_has_a_row_for_each_person() -> None:
    value = stage_value(
        0.75,
        [
            (0, "Rose", [0, 0, 0.5, 1], False),
            (2, "Tom", None, False),
            (3, "Al", [0, 0, 1, 1], True),
        ],
    )
    assert boxes_in(value) == {0: (0, 0, 0.5, 1)}
    assert [row["name"] for row in value["people"]] == ["Rose", "Tom", "Al"]


@pytest.mark.parametrize(
    "value",
    [None, "", [], {}, {"people": 3}, {"people": [None]}, {"people": [{"card": 0, "box": [1, 2]}]},
     {"people": [{"card": 0, "box": ["a", 0, 0, 0]}]}],
)  # fmt: skip
def test_whatever_a_browser_sends_has_no_boxes(value: Any) -> None:
    assert boxes_in(value) == {}
