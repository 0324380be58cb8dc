from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.system.image_file import read_image


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new(mode, (20, 10)).save(path)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (20, 10))


def test_a_picture_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (10, 20)


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_a_pillow_image_is_read_like_the_file_it_comes_from(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        for source in (tmp_path / "a.png", opened):
            found = read_image(source)
            assert (found.mode, found.size) == ("RGB", (10, 20))
            assert found.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0, 257, 256 * 128, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
    found = read_image(tmp_path / f"a.{suffix}")
    assert [found.getpixel((x, 0)) for x in range(4)] == [(v,) * 3 for v in (0, 1, 128, 255)]


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg")


def test_missing_files_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="No such file"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(ImageFileError, match="cannot read"):
        read_image(tmp_path)
