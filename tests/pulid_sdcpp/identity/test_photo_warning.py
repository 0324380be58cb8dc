"""Warnings of photos: as text in an identity's metadata, and as a line for people."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.photo_warning import PhotoWarning, WarningCode, photo_warnings_from

SMALL = PhotoWarning("small_face", (1,), 64.0)
OTHERS = PhotoWarning("different_people", (2, 4), 0.05)


@pytest.mark.parametrize(
    ("warning", "names", "beginning"),
    [
        (SMALL, (), "photo 1: the face is 64 pixels wide, and the networks look at 112 and 336;"),
        (SMALL, ("a.jpg",), "a.jpg: the face is 64"),
        (SMALL, ("a.jpg", "b.jpg"), "photo 1 (a.jpg): the face is 64"),
        (OTHERS, ("a", "b", "c", "d"), "photos 2 and 4 (b and d): look like somebody else than"),
        (OTHERS, ("a",), "photos 2 and 4: look like somebody else than the other photos"),
    ],
)
def test_what_is_said(warning: PhotoWarning, names: tuple[str, ...], beginning: str) -> None:
    assert warning.message(names).startswith(beginning)


@pytest.mark.parametrize("code", get_args(WarningCode))
def test_every_one_says_what_to_do(code: WarningCode) -> None:
    message = PhotoWarning(code, (1,), 0.5).message(["me\n.jpg"])
    assert any(word in message for word in ("; use a", "; leave", "--face"))
    assert "\n" not in message


def test_they_go_through_a_file(tmp_path: Path) -> None:
    texts = list(map(str, (SMALL, OTHERS)))
    identity = Identity.from_array(np.full((4, 8), 0.5, np.float32), photo_warnings=texts)
    identity.save(tmp_path / "a.pulidembd")
    assert Identity.load(tmp_path / "a.pulidembd").photo_warnings == (SMALL, OTHERS)
    assert Identity.from_array(np.ones((4, 8), np.float32)).photo_warnings == ()


@pytest.mark.parametrize(
    "texts",
    [
        *(None, "small_face 1 64", 3),
        ("small_face", "small_face 0 1", "x 1 1", "small_face a 1", "small_face 1 b"),
        ("small_face 1,,2 4", "small_face 99999999 1", "  "),
    ],
)
def test_what_is_none_is_passed_over(texts: object) -> None:
    assert photo_warnings_from(texts) == ()
