from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.system.given_content import content_of, is_content


class OneWay(io.RawIOBase):
    """As a network's stream: it cannot be rewound."""

    def read(self, size: int = -1) -> bytes:
        return b"photo"


class OfAFramework:
    """Its `read` is a coroutine, which nobody awaits here."""

    def read(self, size: int = -1) -> Any:
        return object()


def read_to_its_end(content: bytes) -> io.BytesIO:
    file = io.BytesIO()
    file.write(content)
    return file


@pytest.mark.parametrize(
    "given",
    [
        b"photo",
        bytearray(b"photo"),
        memoryview(b"photo"),
        io.BytesIO(b"photo"),
        read_to_its_end(b"photo"),
        OneWay(),
    ],
    ids=["bytes", "bytearray", "memoryview", "file", "file at its end", "stream"],
)
def test_bytes_and_open_files_give_all_that_is_in_them(given: Any) -> None:
    assert is_content(given)
    content = content_of(given, 5, ImageFileError)
    assert (content, type(content)) == (b"photo", bytes)


def test_an_open_file_of_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"photo")
    with open(path, "rb") as file:
        assert content_of(file, 5, ImageFileError) == b"photo"
    with pytest.raises(ImageFileError, match="closed file"):
        content_of(file, 5, ImageFileError)
    with open(path, encoding="utf-8") as text, pytest.raises(ValueError, match=r"gives str.*'rb'"):
        content_of(text, 5, ImageFileError)


@pytest.mark.parametrize(
    ("given", "words"),
    [(b"", "nothing is in it"), (io.BytesIO(), "nothing is in it"), (b"123456", "at most 0 MiB")],
)
def test_what_cannot_be_used_is_the_error_that_was_asked_for(given: Any, words: str) -> None:
    with pytest.raises(ImageFileError, match=words):
        content_of(given, 5, ImageFileError)


def test_a_coroutine_is_no_content() -> None:
    with pytest.raises(ValueError, match="gives object"):
        content_of(OfAFramework(), 5, ImageFileError)


@pytest.mark.parametrize("given", ["a.jpg", Path("a.jpg"), 3, None, [b"photo"]])
def test_paths_and_other_things_are_none(given: object) -> None:
    assert not is_content(given)
