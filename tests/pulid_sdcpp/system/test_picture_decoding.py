"""All that reads picture files: one list of formats, and one error for whatever is wrong."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pulid_extractor.photo import load_photo
from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.pictures.png_text import read_picture_text
from pulid_sdcpp.system.image_file import read_image
from pulid_sdcpp.system.mask_image import read_mask

READERS: tuple[Callable[..., object], ...] = (
    read_image, read_mask, read_picture_text, load_photo,
)  # fmt: skip
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
CHANGES = 120


def encoded(format_name: str, size: tuple[int, int] = (48, 40), **options: object) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(file, format_name, **options)
    return file.getvalue()


def refused(path: Path, reader: Callable[..., object]) -> str:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with pytest.raises(ImageFileError) as raised:
            reader(path)
    assert not shown
    assert str(path) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("reader", READERS)
def test_what_would_start_another_program_is_not_opened(
    tmp_path: Path, reader: Callable[..., object]
) -> None:
    """Pillow hands an EPS to Ghostscript."""
    path = tmp_path / "a.png"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n"
        b"0 0 64 64 rectfill\nshowpage\n"
    )
    assert "found an EPS or PostScript drawing" in refused(path, reader)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("format_name", ["DDS", "ICO", "PCX", "SGI"])
def test_formats_that_no_camera_or_editor_makes_are_refused(
    tmp_path: Path, format_name: str, reader: Callable[..., object]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(format_name))
    assert "expected a p" in refused(path, reader)


@pytest.mark.parametrize("reader", READERS)
def test_big_pictures_are_read_without_a_word_and_bombs_refused(
    tmp_path: Path, reader: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 40 - 1)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        reader(path)
    assert not shown
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 40 // 2 - 1)
    assert "too big" in refused(path, reader)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "error", [RuntimeError, NotImplementedError, SyntaxError, ValueError, KeyError, MemoryError]
)
def test_whatever_a_decoder_raises_is_one_error(
    tmp_path: Path,
    reader: Callable[..., object],
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))

    def load(*_: object) -> None:
        raise error("Missing or empty\nimage item")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert "\n" not in refused(path, reader)


def test_so_is_what_a_picture_in_memory_raises() -> None:
    for reader in (read_image, load_photo):
        with (
            Image.open(io.BytesIO(encoded("PNG")[:-60])) as cut,
            pytest.raises(ImageFileError, match="the given picture: expected a complete p"),
        ):
            reader(cut)


@pytest.mark.parametrize("format_name", FORMATS)
def test_changed_bytes_are_a_picture_or_that_error(tmp_path: Path, format_name: str) -> None:
    Image.init()
    if format_name not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format_name}")
    whole = encoded(format_name)
    chance = random.Random(format_name)
    path = tmp_path / "a.picture"
    for number in range(CHANGES):
        content = bytearray(whole)
        # The header decides most; half of the changes are there.
        end = min(len(content), 96) if number % 2 else len(content)
        for _ in range(chance.choice((1, 1, 2, 8))):
            content[chance.randrange(end)] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        if number % 5 == 0:
            del content[chance.randrange(len(content)) :]
        path.write_bytes(content)
        for reader in READERS:
            try:
                reader(path)
            except ImageFileError as error:
                assert "\n" not in str(error), (number, error)  # noqa: PT017
