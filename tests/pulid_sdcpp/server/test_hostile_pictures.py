"""Pictures that are too large, too deep, broken, or none: refused early, each with one error."""

from __future__ import annotations

import base64
import struct
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pulid_sdcpp.server.bodies.pictures_in import PictureIn, mask_from, picture_from, reads_avif
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits

from .picture_drafts import PNG, file_of, noise, png_chunk, png_of_size, webp_of_size

LIMITS = Limits()


def taken(value: object, limits: Limits = LIMITS) -> PictureIn:
    return picture_from(value, param="image", limits=limits)


def code_of(value: object, limits: Limits = LIMITS) -> str:
    with pytest.raises(ApiError) as caught:
        taken(value, limits)
    assert (caught.value.param, caught.value.status) == ("image", 400)
    assert caught.value.message.startswith("image: ")
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize("length", [-1, 0, 1])
@pytest.mark.parametrize("in_base64", [False, True])
def test_the_limit_of_a_file_is_to_the_byte(length: int, in_base64: bool) -> None:
    picture = file_of(noise())
    content = picture + b"\0" * ((1 << 20) + length - len(picture))
    value = base64.b64encode(content).decode() if in_base64 else content
    limits = Limits(max_image_mib=1)
    if length <= 0:
        assert taken(value, limits).width == 24
    else:
        assert code_of(value, limits) == "image_too_large"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("size", "is_taken"),
    [((100, 100), True), ((101, 100), False), ((100, 101), False), ((99, 101), True)],
)
def test_the_limit_of_pixels_is_to_the_pixel(
    kind: str, size: tuple[int, int], is_taken: bool
) -> None:
    if kind == "AVIF" and not reads_avif():
        pytest.skip("this Pillow has no AVIF")
    content = file_of(Image.new("RGB", size), kind)
    limits = Limits(max_image_mp=0.01)
    if is_taken:
        assert (taken(content, limits).width, taken(content, limits).height) == size
    else:
        assert code_of(content, limits) == "image_too_large"


@pytest.mark.parametrize(
    ("size", "is_taken"),
    [
        ((8192, 41), True),
        ((8193, 42), False),
        ((42, 8193), False),
        ((200, 1), True),
        ((201, 1), False),
        ((1, 200), True),
        ((1, 201), False),
        ((400, 2), True),
        ((401, 2), False),
    ],
)
def test_the_limits_of_sides(size: tuple[int, int], is_taken: bool) -> None:
    if is_taken:
        assert (taken(png_of_size(*size)).width, taken(png_of_size(*size)).height) == size
    else:
        assert code_of(png_of_size(*size)) == "image_too_large"


def huge_jpeg(width: int, height: int) -> bytes:
    content = bytearray(file_of(noise(), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def packed(size: int) -> bytes:
    return zlib.compress(b"\0" * size, 9)


BOMBS: dict[str, tuple[Any, set[str]]] = {
    "png, 60000 x 60000": (lambda: png_of_size(60_000, 60_000, rows=100), {"image_too_large"}),
    "png, 12000 x 12000": (lambda: png_of_size(12_000, 12_000, rows=100), {"image_too_large"}),
    "png, 2^31 - 1": (lambda: png_of_size(2**31 - 1, 2, rows=0), {"image_too_large"}),
    "png, no width": (lambda: png_of_size(0, 5), {"bad_image"}),
    "webp, 16383 x 16383": (lambda: webp_of_size(16_383, 16_383), {"image_too_large"}),
    "webp, 2^24": (lambda: webp_of_size(2**24, 2**24), {"image_too_large"}),
    "jpeg, 65500 x 65500": (lambda: huge_jpeg(65_500, 65_500), {"image_too_large"}),
    "jpeg, 12000 x 12000": (lambda: huge_jpeg(12_000, 12_000), {"image_too_large"}),
    "jpeg, 8193 x 6000": (lambda: huge_jpeg(8193, 6000), {"image_too_large"}),
    "png, second header": (
        lambda: png_of_size(
            8,
            8,
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)),
        ),
        {"image_too_large"},
    ),
    "png, text of 100 MB": (
        lambda: png_of_size(8, 8, png_chunk(b"zTXt", b"k\0\0" + packed(100_000_000))),
        {"bad_image"},
    ),
    "png, international text of 100 MB": (
        lambda: png_of_size(8, 8, png_chunk(b"iTXt", b"k\0\1\0\0\0" + packed(100_000_000))),
        {"bad_image"},
    ),
    "png, many texts": (
        lambda: png_of_size(8, 8, *[png_chunk(b"zTXt", b"k\0\0" + packed(1_000_000))] * 100),
        {"bad_image"},
    ),
    "png, profile of 100 MB": (
        lambda: png_of_size(8, 8, png_chunk(b"iCCP", b"k\0\0" + packed(100_000_000))),
        {"bad_image"},
    ),
    "jpeg, 100,000 scans": (
        lambda: file_of(noise(), "JPEG")[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 100_000,
        {"image_too_large"},
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_costs_little(bomb: str) -> None:
    make, codes = BOMBS[bomb]
    content = make()
    assert len(content) < 2_000_000
    tracemalloc.start()
    start = time.process_time()
    assert code_of(content) in codes
    took, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 2
    assert peak < 80_000_000


def test_a_header_behind_the_pixels_changes_nothing() -> None:
    other = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    content = png_of_size(8, 8)
    end = len(content) - 12
    picture = taken(content[:end] + other + content[end:])
    assert (picture.width, picture.height) == (8, 8)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) run\n%%EOF\n"
NO_PICTURES: dict[str, tuple[Any, str]] = {
    "gif": (lambda: file_of(noise(), "GIF"), "a GIF picture"),
    "bmp": (lambda: file_of(noise(), "BMP"), "found"),
    "tiff": (lambda: file_of(noise(), "TIFF"), "found"),
    "ppm": (lambda: file_of(noise(), "PPM"), "found"),
    "tga": (lambda: file_of(noise(), "TGA"), "found"),
    "ico": (lambda: file_of(noise(16, 16), "ICO"), "found"),
    "dds": (lambda: file_of(noise(), "DDS"), "found"),
    "icns": (lambda: file_of(noise(16, 16), "ICNS"), "found"),
    "pdf": (lambda: file_of(noise(), "PDF"), "a PDF document"),
    "eps": (lambda: EPS, "an EPS or PostScript"),
    "heic": (lambda: HEIC, "found a HEIC picture"),
    "svg": (lambda: b"<?xml version='1.0'?><svg onload='alert(1)'/>", "an SVG"),
    "html": (lambda: b"<!DOCTYPE html><html></html>", "found"),
    "zip": (lambda: b"PK\x03\x04" + b"\0" * 40, "found"),
    "video": (lambda: b"\0\0\0\x18ftypmp42" + b"\0" * 40, "a video"),
    "text": (lambda: b"hello", "found"),
    "gif, then png": (lambda: b"GIF89a" + file_of(noise()), "a GIF picture"),
    "space, then png": (lambda: b" " + file_of(noise()), "found"),
    "html, then jpeg": (lambda: b"<html>" + file_of(noise(), "JPEG"), "found"),
    "png of nothing": (lambda: PNG, "expected"),
    "jpeg of nothing": (lambda: b"\xff\xd8\xff", "expected"),
    "webp of nothing": (lambda: b"RIFF\0\0\0\0WEBP", "expected"),
    "png with eps": (lambda: PNG + EPS, "expected"),
    "avif of nothing": (lambda: b"\0\0\0\x18ftypavif" + b"\0" * 40, "expected"),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_what_is_no_picture_is_told(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = NO_PICTURES[kind]
    content = make()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", never)  # Pillow would run Ghostscript
    assert code_of(content) == "bad_image"
    with pytest.raises(ApiError, match=words):
        taken(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_ends_early_is_refused(kind: str) -> None:
    content = file_of(noise(64, 48), kind)
    for end in range(1, len(content) // 2, 97):
        assert code_of(content[:end]) == "bad_image"


@settings(max_examples=150)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    st.booleans(),
)
def test_a_damaged_picture_is_a_picture_or_one_error(
    kind: str, changes: list[tuple[float, bytes]], as_mask: bool
) -> None:
    content = bytearray(file_of(noise(mode="L" if as_mask else "RGB"), kind))
    for part, new in changes:
        at = int(part * len(content))
        content[at : at + len(new)] = new
    read = mask_from if as_mask else picture_from
    try:
        picture = read(bytes(content), param="image", limits=LIMITS)
    except ApiError as error:
        code = error.code
    else:
        code = "taken" if picture.png.startswith(PNG) else ""
    assert code in ("taken", "bad_image", "image_too_large")
