from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.pictures.png_text import PictureText, parse_text, read_picture_text
from pulid_sdcpp.pictures.result import Result

TEXT = PictureText("a face", "", {"Steps": "4", "Seed": "7", "Size": "16x16"})


def through_pickle(result: Result) -> Result:
    return pickle.loads(pickle.dumps(result))


@pytest.fixture
def result() -> Result:
    return Result(Image.new("RGB", (16, 16), (1, 2, 3)), 7, TEXT)


def test_the_text_is_in_the_saved_picture(result: Result, tmp_path: Path) -> None:
    path = result.save(tmp_path / "out.png")
    assert read_picture_text(path) == result.text
    assert parse_text(result.text) == TEXT
    with Image.open(path) as saved:
        assert saved.tobytes() == result.image.tobytes()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, through_pickle])
def test_it_can_be_copied_and_sent_to_another_process(
    result: Result, duplicate: Callable[[Result], Result]
) -> None:
    other = duplicate(result)
    assert (other.image.tobytes(), other.seed) == (result.image.tobytes(), result.seed)
    assert (other.metadata, other.text) == (TEXT, result.text)


def test_a_file_is_replaced_only_when_told(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"mine")
    with pytest.raises(OutputFileError, match="it exists"):
        result.save(path)
    assert path.read_bytes() == b"mine"
    result.save(str(path), overwrite=True)
    assert read_picture_text(path) == result.text
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_what_cannot_be_saved_says_so(result: Result, tmp_path: Path) -> None:
    with pytest.raises(OutputFileError, match="does not exist"):
        result.save(tmp_path / "no" / "out.png")
    with pytest.raises(ValueError, match="not a picture format"):
        result.save(tmp_path / "out.bmp")
