from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(("format", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_bytes_are_those_of_the_file(
    result: Result, tmp_path: Path, format: str, suffix: str
) -> None:
    buffer = io.BytesIO()
    assert result.save(buffer, format=format, quality=70) is None
    path = result.save(tmp_path / f"a.{suffix}", quality=70)
    assert buffer.getvalue() == path.read_bytes() == result.to_bytes(suffix.upper(), quality=70)
    assert read_picture_text(buffer) == read_picture_text(buffer.getvalue()) == result.text
    with Image.open(buffer) as image:
        assert image.format == format.upper()


def test_a_buffer_gets_a_png_unless_told(result: Result) -> None:
    buffer = io.BytesIO()
    result.save(buffer)
    assert buffer.getvalue() == result.to_bytes() == result.to_bytes("png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_quality_is_of_jpeg_and_webp() -> None:
    noise = Result(Image.effect_noise((64, 64), 90).convert("RGB"), 7, TEXT)
    for format in ("jpeg", "webp"):
        assert len(noise.to_bytes(format, quality=20)) < len(noise.to_bytes(format, quality=95))
        assert noise.to_bytes(format) == noise.to_bytes(format, quality=90)
    assert noise.to_bytes("png", quality=20) == noise.to_bytes("png")
    with Image.open(io.BytesIO(noise.to_bytes("webp", quality="lossless"))) as image:
        assert image.convert("RGB").tobytes() == noise.image.tobytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"format": "bmp"}, "format is 'bmp', but must be one of png, jpeg, webp"),
        ({"format": ""}, "format is ''"),
        ({"quality": 0}, "quality is 0, but must be from 1 to 100"),
        ({"quality": "high"}, "quality is 'high'"),
    ],
)
def test_what_no_picture_can_have_is_refused_before_a_byte(
    result: Result, arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with pytest.raises(ValueError, match=words):
        result.save(buffer, **arguments)
    assert buffer.getvalue() == b""
    with pytest.raises(ValueError, match=words):
        result.save(tmp_path / "a.png", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_is_not_the_suffix_s_is_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"format is 'png', but .* is of another"):
        result.save(tmp_path / "a.jpg", format="png")
    assert result.save(tmp_path / "a.jpg", format="jpg").exists()


def test_a_repr_is_a_line(result: Result) -> None:
    assert repr(result) == "Result(16x16, seed=7)"
