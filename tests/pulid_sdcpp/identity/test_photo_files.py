"""Which files of a folder are photos of a person."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.identity.photo_files import MAX_PHOTOS, photo_list, photos_in


def test_what_is_no_photo_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("2.JPG", "10.jpg", "a.txt", "b.txt", "c.pulidembd", "d.mov", ".DS_Store"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in photos_in(tmp_path)] == ["10.jpg", "2.JPG"]
    assert caplog.messages == [f"{tmp_path}: left out: a.txt, b.txt, c.pulidembd and 1 more"]


def test_none_and_too_many_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="there is no photo in this folder"):
        photo_list([tmp_path])
    for number in range(MAX_PHOTOS + 1):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(ImageFileError, match="65 photos in this folder, but 64 are the most"):
        photo_list([tmp_path])
    with pytest.raises(ImageFileError, match=r"gone\.jpg: no such file; expected a photo"):
        photo_list([tmp_path / "0.png", tmp_path / "gone.jpg"])
