"""A zoo of photos: each is read right or refused by name."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pulid_extractor import photo as photo_module
from pulid_extractor.photo import MAX_LONG_SIDE_PX, load_photo, photo_sha256
from pulid_sdcpp.errors import ImageFileError

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def scene() -> Pixels:
    """Smooth colours, no two corners alike: (120, 80, 3)."""
    y, x = np.mgrid[0:120, 0:80].astype(np.float64)
    return np.stack([40 + 1.5 * y, 200 - 2 * x, 60 + x + y / 2], axis=-1).round().astype(np.uint8)


def assert_near(found: Pixels, expected: Pixels, tolerance: float) -> None:
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected.astype(int)).mean()
    assert difference <= tolerance


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        ("png", {}, 0), ("bmp", {}, 0), ("tiff", {}, 0), ("webp", {"lossless": True}, 0),
        ("webp", {"quality": 95}, 3), ("jpg", {"quality": 95}, 3), ("ppm", {}, 0), ("tga", {}, 0),
    ],
)  # fmt: skip
def test_formats(
    tmp_path: Path, scene: Pixels, suffix: str, options: dict[str, object], tolerance: float
) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(scene).save(path, **options)
    photo = load_photo(path)
    assert_near(photo.pixels, scene, tolerance)
    assert photo.name == str(path)
    assert photo.scale == 1
    assert photo.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_hash_alone_is_that_of_the_photo(tmp_path: Path, scene: Pixels) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(scene).save(path)
    turned = Image.fromarray(scene)
    turned.getexif()[0x0112] = 6
    sources = [path, str(path), scene, scene[..., 0], Image.fromarray(scene), turned]
    hashes = [photo_sha256(source) for source in sources]
    assert hashes == [load_photo(source).sha256 for source in sources]
    assert len(set(hashes)) == 4
    with pytest.raises(ImageFileError, match="no such file"):
        photo_sha256(tmp_path / "absent.jpg")


def test_the_name_does_not_matter(tmp_path: Path, scene: Pixels) -> None:
    Image.fromarray(scene).save(tmp_path / "photo.jpg", format="PNG")
    assert_near(load_photo(str(tmp_path / "photo.jpg")).pixels, scene, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, scene: Pixels, orientation: int) -> None:
    """The camera stored the scene turned or mirrored, and says so."""
    stored = {
        1: scene, 2: scene[:, ::-1], 3: scene[::-1, ::-1], 4: scene[::-1],
        5: scene.swapaxes(0, 1), 6: np.rot90(scene, 1), 7: np.rot90(scene.swapaxes(0, 1), 2),
        8: np.rot90(scene, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(
        tmp_path / "photo.jpg", exif=exif, quality=95, subsampling=0
    )
    assert_near(load_photo(tmp_path / "photo.jpg").pixels, scene, 3)


def test_cmyk_jpeg(tmp_path: Path, scene: Pixels) -> None:
    Image.fromarray(scene).convert("CMYK").save(tmp_path / "photo.jpg", quality=95)
    with Image.open(tmp_path / "photo.jpg") as stored:
        assert stored.mode == "CMYK"
    assert_near(load_photo(tmp_path / "photo.jpg").pixels, scene, 4)


def test_transparency_is_laid_on_white(tmp_path: Path, scene: Pixels) -> None:
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[:30] = 0
    alpha[30:60] = 51
    Image.fromarray(np.dstack([scene, alpha])).save(tmp_path / "photo.png")
    weight = alpha[..., None] / 255
    expected = (scene * weight + 255 * (1 - weight)).round().astype(np.uint8)
    assert_near(load_photo(tmp_path / "photo.png").pixels, expected, 0.6)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
def test_grey_and_palette(tmp_path: Path, scene: Pixels, mode: str) -> None:
    picture = Image.fromarray(scene).convert(mode)
    picture.save(tmp_path / "photo.png")
    expected = np.asarray(picture.convert("RGB"))
    assert_near(load_photo(tmp_path / "photo.png").pixels, expected, 0)


def test_transparent_palette_is_laid_on_white(tmp_path: Path) -> None:
    picture = Image.new("P", (40, 40), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(0, (0, 0, 40, 20))
    picture.save(tmp_path / "photo.png", transparency=0)
    pixels = load_photo(tmp_path / "photo.png").pixels
    assert (pixels[:20] == 255).all()
    assert (pixels[20:] == (0, 0, 255)).all()


def test_sixteen_bit_grey_png_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 48).round().astype(np.uint16).reshape(64, 48)
    Image.fromarray(values).save(tmp_path / "photo.png")
    with Image.open(tmp_path / "photo.png") as stored:
        assert stored.mode.startswith("I")
    pixels = load_photo(tmp_path / "photo.png").pixels
    expected = np.repeat((values / 257).round().astype(np.uint8)[..., None], 3, axis=2)
    assert_near(pixels, expected, 0)
    assert_near(load_photo(values).pixels, expected, 0)


def test_sixteen_bit_rgb_png(tmp_path: Path, scene: Pixels) -> None:
    """Written by hand: Pillow reads these and does not write them."""
    rows = (scene.astype(">u2") * 257).reshape(scene.shape[0], -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", scene.shape[1], scene.shape[0], 16, 2, 0, 0, 0)
    (tmp_path / "photo.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )  # fmt: skip
    assert_near(load_photo(tmp_path / "photo.png").pixels, scene, 0)


@pytest.mark.parametrize("suffix", ["webp", "gif", "png"])
def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(
    tmp_path: Path, scene: Pixels, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [Image.fromarray(scene), Image.fromarray(255 - scene), Image.fromarray(scene // 2)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"photo.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with caplog.at_level(logging.WARNING, logger="pulid_extractor"):
        photo = load_photo(path)
    assert_near(photo.pixels, scene, 4 if suffix == "gif" else 0)
    assert caplog.messages == [f"{path}: 3 frames; only the first is used"]


def test_a_still_picture_is_not_called_an_animation(
    tmp_path: Path, scene: Pixels, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(scene).save(tmp_path / "photo.webp")
    load_photo(tmp_path / "photo.webp")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("size", "reduced"), [((3000, 2000), (1024, 682)), ((1024, 1024), (1024, 1024)),
                          ((700, 4000), (179, 1024))]
)  # fmt: skip
def test_long_side_is_at_most_1024(size: tuple[int, int], reduced: tuple[int, int]) -> None:
    photo = load_photo(Image.new("RGB", size, (10, 200, 30)))
    assert photo.pixels.shape == (reduced[1], reduced[0], 3)
    assert photo.scale == MAX_LONG_SIDE_PX / max(size)
    assert (photo.pixels == (10, 200, 30)).all()


@pytest.mark.parametrize("form", ["array", "grey", "rgba", "pillow", "palette"])
def test_pictures_in_memory(scene: Pixels, form: str) -> None:
    grey = scene[..., 0]
    given, expected = {
        "array": (scene, scene),
        "grey": (grey, np.repeat(grey[..., None], 3, axis=2)),
        "rgba": (np.dstack([scene, np.full_like(grey, 255)]), scene),
        "pillow": (Image.fromarray(scene), scene),
        "palette": (Image.fromarray(grey).convert("P"), np.repeat(grey[..., None], 3, axis=2)),
    }[form]
    photo = load_photo(given)  # type: ignore[arg-type]
    assert_near(photo.pixels, expected, 0)
    assert photo.sha256 == hashlib.sha256(expected.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((64, 64, 3), np.float32),
        np.zeros((64, 64, 2), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((20, 20, 3), np.uint8),
    ],
)
def test_other_arrays_are_the_callers_mistake(array: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="expected a photo"):
        load_photo(array)


def refused(path: Path) -> str:
    with pytest.raises(ImageFileError) as raised:
        load_photo(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_text_file_named_jpg_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("this is not a photo\n" * 10)
    assert "found a text file" in refused(tmp_path / "photo.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif"])
def test_truncated_pictures_are_refused(tmp_path: Path, scene: Pixels, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(scene).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert "damaged or truncated" in refused(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "a HEIC picture"),
        (b"\0\0\0\x18ftypisom" + bytes(99), "a video"),
        (b"%PDF-1.7\n\xff\xff" + bytes(99), "a PDF"),
        (b"\0\0\0\x18ftypmsf1" + bytes(99), "a HEIC picture"),
        (b"\0\0\0\x18ftypavif" + bytes(99), "an AVIF picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing; convert it"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg width='9'/>", "an SVG drawing; convert it"),
        (b"<!DOCTYPE html><html>404</html>", "a web page or another XML file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer"),
        (b"GGUF" + bytes(99), "a gguf file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "an EPS or PostScript"),
        (bytes(range(1, 200)), "a file that starts with"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    assert found in refused(tmp_path / "photo.jpg")


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "absent.jpg")
    assert "found a folder" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    assert "found a named pipe" in refused(tmp_path / "photo.jpg")
    assert "found a device" in refused(Path("/dev/zero"))


def test_links(tmp_path: Path, scene: Pixels) -> None:
    Image.fromarray(scene).save(tmp_path / "photo.png")
    (tmp_path / "link.png").symlink_to("photo.png")
    assert_near(load_photo(tmp_path / "link.png").pixels, scene, 0)
    (tmp_path / "nowhere.png").symlink_to("absent.png")
    assert "no such file" in refused(tmp_path / "nowhere.png")
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert "cannot be read" in refused(tmp_path / "a.png")


def test_names(tmp_path: Path, scene: Pixels) -> None:
    odd = tmp_path / "Zoë 東京 \U0001f469 'x'.png"
    Image.fromarray(scene).save(odd)
    assert_near(load_photo(odd).pixels, scene, 0)
    assert "cannot be read" in refused(tmp_path / ("x" * 300))
    for address in ("https://example.org/me.jpg", "s3://bucket/me.jpg"):
        with pytest.raises(ImageFileError, match=f"^{address}: .* web address; download"):
            load_photo(address)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_converted_in_bands_or_whole_is_the_same(
    scene: Pixels, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "I;16":
        picture = Image.fromarray(scene[..., 0].astype(np.uint16) * 250)
    else:
        picture = Image.fromarray(scene).convert(mode)
    whole = load_photo(picture).pixels
    monkeypatch.setattr(photo_module, "BAND_PX", 7)
    assert_near(load_photo(picture).pixels, whole, 0)


def test_the_size_is_judged_before_anything_is_decoded(tmp_path: Path) -> None:
    """12000 x 30 pixels, of which the data are missing."""
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    content = bytearray((tmp_path / "photo.png").read_bytes()[:60])
    content[16:24] = struct.pack(">II", 12000, 30)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    (tmp_path / "photo.png").write_bytes(bytes(content))
    assert "found 12000 x 30" in refused(tmp_path / "photo.png")


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (31, 500), (4000, 60)])
def test_tiny_pictures_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "photo.png")
    message = refused(tmp_path / "photo.png")
    assert "at least 32 pixels" in message
    assert f"found {size[0]} x {size[1]}" in message


def test_decompression_bomb_is_refused(tmp_path: Path) -> None:
    """A PNG of a few hundred bytes that says it is 30000 x 30000."""
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    content = bytearray((tmp_path / "photo.png").read_bytes())
    content[16:24] = struct.pack(">II", 30000, 30000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    (tmp_path / "photo.png").write_bytes(bytes(content))
    assert "too big" in refused(tmp_path / "photo.png")


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70000)])
def test_floating_point_and_32_bit_pictures_are_refused(
    tmp_path: Path, mode: str, value: float
) -> None:
    Image.new(mode, (64, 64), value).save(tmp_path / "photo.tiff")
    message = refused(tmp_path / "photo.tiff")
    assert "expected 8 or 16 bits per channel, found" in message
    assert "damaged" not in message


def test_bytes_and_open_files_are_read_as_the_file_is(tmp_path: Path, scene: Pixels) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene).save(path, exif=exif)
    expected = load_photo(path)
    content = path.read_bytes()
    with open(path, "rb") as file:
        for source in (content, bytearray(content), io.BytesIO(content), file):
            photo = load_photo(source)
            assert np.array_equal(photo.pixels, expected.pixels)
            assert (photo.sha256, photo.scale) == (expected.sha256, expected.scale)
            assert photo_sha256(source) == expected.sha256
            assert photo.name == "the given picture"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing is in it"),
        (b"<!doctype html>", "expected a photo"),
        (b"\x89PNG\r\n\x1a\nxxxxxxxx", "expected a complete photo"),
    ],
)
def test_bytes_that_are_no_photo_are_refused_as_a_file_is(content: bytes, words: str) -> None:
    for source in (content, io.BytesIO(content)):
        with pytest.raises(ImageFileError, match=f"^the given picture: {words}"):
            load_photo(source)
    with pytest.raises(ValueError, match="open it with mode 'rb'"):
        load_photo(io.StringIO("photo"))  # type: ignore[arg-type]
