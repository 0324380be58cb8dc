"""HEIC photos, with and without the optional package that reads them."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulid_extractor.photo import load_photo
from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.system import picture_decoding
from pulid_sdcpp.system.image_file import read_image
from pulid_sdcpp.system.mask_image import read_mask

SIZE = (80, 60)
CHANGES = 60


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return tmp_path / "photo.heic"


def heic(orientation: int = 1, size: tuple[int, int] = SIZE, others: int = 0) -> bytes:
    """Red, with a blue left half, and a picture for each of `others`, which are green."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[0x112] = orientation
    more = [Image.new("RGB", size, "green")] * others
    file = io.BytesIO()
    try:
        picture.save(
            file, "HEIF", exif=exif.tobytes(), quality=95, save_all=bool(more), append_images=more
        )
    except RuntimeError as error:
        pytest.skip(f"this pillow-heif writes no HEIC: {error}")
    return file.getvalue()


def is_blue(pixel: object) -> bool:
    red, _, blue = (int(value) for value in pixel)  # type: ignore[attr-defined]
    return blue > 200 > 60 > red


@pytest.mark.parametrize(
    ("orientation", "size", "blue_at"),
    [
        (1, SIZE, (5, 30)),
        (2, SIZE, (75, 30)),
        (3, SIZE, (75, 30)),
        (6, SIZE[::-1], (30, 5)),
        (8, SIZE[::-1], (30, 75)),
    ],
)
def test_a_photo_is_upright(
    photo: Path, orientation: int, size: tuple[int, int], blue_at: tuple[int, int]
) -> None:
    photo.write_bytes(heic(orientation))
    for pixels in (np.asarray(read_image(photo)), load_photo(photo).pixels):
        assert pixels.shape == (size[1], size[0], 3)
        assert is_blue(pixels[blue_at[1], blue_at[0]])
        assert not is_blue(pixels[size[1] - 1 - blue_at[1], size[0] - 1 - blue_at[0]])
    read_mask(photo)


def test_of_several_the_first_view_is_read(photo: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo.write_bytes(heic(others=2))
    assert is_blue(load_photo(photo).pixels[30, 5])
    assert not caplog.records


def test_one_that_is_too_big_is_not_decoded(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo.write_bytes(heic())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIZE[0] * SIZE[1] // 2 - 1)
    for reader in (read_image, load_photo):
        with pytest.raises(ImageFileError, match="too big"):
            reader(photo)


def test_changed_bytes_are_a_picture_or_one_error(photo: Path) -> None:
    whole = heic()
    chance = random.Random(1)
    for number in range(CHANGES):
        content = bytearray(whole)
        end = min(len(content), 400) if number % 2 else len(content)
        for _ in range(chance.choice((1, 2, 8))):
            content[chance.randrange(12, end)] = chance.choice((0, 1, 127, 255))
        if number % 5 == 0:
            del content[chance.randrange(len(content)) :]
        photo.write_bytes(content)
        for reader in (read_image, load_photo):
            try:
                reader(photo)
            except ImageFileError as error:
                assert "\n" not in str(error), number  # noqa: PT017


def test_what_is_missing_is_said(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_decoding, "_has_heif_reader", lambda: False)
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(ImageFileError, match=r"a HEIC picture, .* 'pip install pillow-heif', or"):
        load_photo(photo)
    photo.write_bytes(b"\0\0\0\x18ftypavif" + bytes(99))
    with pytest.raises(ImageFileError, match=r"an AVIF picture, .* 'pip install pillow>=11.3'"):
        load_photo(photo)
