"""Errors about photos name the field that they came in."""

from __future__ import annotations

import pytest

from pulid_sdcpp.errors import FaceNotFoundError, FaceNotThereError, ImageFileError
from pulid_sdcpp.server.request.photo_error import photo_error

ONE, OTHER = f"inputs/{'a' * 64}.png", f"inputs/{'b' * 64}.png"


@pytest.mark.parametrize(
    ("error", "files", "people", "code", "param", "message"),
    [
        (FaceNotFoundError(f"{ONE}: no face found"), (ONE,), 1, "no_face", "photo",
         "photo: no face found"),
        (FaceNotFoundError(f"{OTHER}: no face found"), (ONE, OTHER), 1, "no_face", "photos[1]",
         "photos[1]: no face found"),
        (FaceNotThereError(f"{ONE}: face 3 was asked for"), (ONE,), 2, "face_not_there",
         "people[1].photo", "people[1].photo: face 3 was asked for"),
        (FaceNotFoundError(f"{OTHER}: no face"), (ONE, OTHER), 2, "no_face", "people[1].photos[1]",
         "people[1].photos[1]: no face"),
        (ImageFileError(f"/data/server/{ONE}: damaged"), (ONE,), 1, "bad_image", "photo",
         "photo: damaged"),
        (ImageFileError(f"C:\\x\\inputs\\{ONE[7:]}: damaged"), (ONE,), 1, "bad_image", "photo",
         "photo: damaged"),
        (ImageFileError("too large"), (ONE, OTHER), 1, "bad_image", "photos", "too large"),
    ],
)  # fmt: skip
def test_a_photo_is_called_as_in_the_request(
    error: Exception, files: tuple[str, ...], people: int, code: str, param: str, message: str
) -> None:
    found = photo_error(error, files, person=1 if people > 1 else 0, people=people)
    assert (found.code, found.param, found.message) == (code, param, message)
