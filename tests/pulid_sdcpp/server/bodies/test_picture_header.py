"""Format, size and scans, told without a decoder."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pulid_sdcpp.server.bodies.picture_header import jpeg_scans, picture_format, picture_size
from pulid_sdcpp.server.bodies.pictures_in import reads_avif

from ..picture_drafts import file_of, noise, png_of_size, webp_of_size

SIZES = [(1, 1), (24, 16), (300, 2), (2, 300), (257, 513)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kind", "mode", "how"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "1", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {"xmp": b"x"}),
    ],
)
def test_the_header_says_what_the_decoder_says(
    size: tuple[int, int], kind: str, mode: str, how: dict[str, object]
) -> None:
    content = file_of(noise(*size, mode), kind, **how)
    assert picture_size(content) == Image.open(io.BytesIO(content)).size == size


def test_the_size_of_an_animation() -> None:
    content = file_of(noise(), "WEBP", save_all=True, append_images=[noise(mode="L")])
    assert picture_size(content) == (24, 16)


def test_the_largest_sizes() -> None:
    assert picture_size(png_of_size(2**31 - 1, 2**31 - 1, rows=0)[:60] + b"x") is not None
    assert picture_size(webp_of_size(16383, 16383)) == (16383, 16383)
    assert picture_size(webp_of_size(2**24, 2**24)) == (2**24, 2**24)


def test_other_decoders_tell_the_size() -> None:
    assert picture_size(file_of(noise(), "JPEG")) is None
    assert picture_size(b"") is None


@pytest.mark.parametrize(("kind", "name"), [("PNG", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WebP")])
def test_formats_are_told_by_content(kind: str, name: str) -> None:
    assert picture_format(file_of(noise(), kind)) == name


@pytest.mark.skipif(not reads_avif(), reason="this Pillow has no AVIF")
def test_avif_is_told_by_content() -> None:
    assert picture_format(file_of(noise(), "AVIF")) == "AVIF"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "EPS", "PDF"])
def test_other_formats_have_no_name(kind: str) -> None:
    assert picture_format(file_of(noise(), kind)) == ""


@given(
    st.binary(max_size=64),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP", b"\xff\xd8\xff"]),
)
def test_any_bytes_are_looked_at_safely(content: bytes, start: bytes) -> None:
    content = start + content
    assert picture_format(content) in ("", "PNG", "JPEG", "WebP", "AVIF")
    picture_size(content)
    assert 0 <= jpeg_scans(content, 5) <= 6


def test_scans_are_counted() -> None:
    plain = file_of(noise(200, 200), "JPEG", quality=95)
    progressive = file_of(noise(200, 200), "JPEG", progressive=True, exif=plain_exif())
    assert jpeg_scans(plain, 100) == 1
    assert jpeg_scans(progressive, 100) == 10
    assert jpeg_scans(progressive, 3) == 4
    # What stands behind the picture, such as the film of a moving photo, does not count.
    assert jpeg_scans(plain + b"\xff\xda" * 500, 100) == 1
    assert jpeg_scans(plain[:-2] + b"\xff\xda\0\2" * 500, 100) == 101


def plain_exif() -> bytes:
    """EXIF in which a small JPEG stands, as cameras write it."""
    exif = Image.Exif()
    exif[0x010E] = file_of(noise(32, 32), "JPEG").decode("latin-1")
    return exif.tobytes()
