"""Pictures of clients: the same pixels as for a command, and nothing but them."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from pulid_sdcpp.server.bodies import pictures_in
from pulid_sdcpp.server.bodies.pictures_in import (
    PictureIn,
    mask_from,
    photo_from,
    picture_from,
    reads_avif,
)
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.system.image_file import read_image
from pulid_sdcpp.system.mask_image import read_mask

from ..picture_drafts import file_of, noise, png_chunks

LIMITS = Limits()
SECRET = "Rose lives at 12 Main Street"
AVIF = pytest.mark.skipif(not reads_avif(), reason="this Pillow has no AVIF")
INSIDE = np.zeros((16, 24), np.uint8)
INSIDE[4:12, 6:18] = 255


def sixteen_bits() -> Image.Image:
    return Image.fromarray((np.arange(24 * 16, dtype=np.uint16) * 170).reshape(16, 24))


def palette() -> Image.Image:
    image = noise().quantize(8)
    image.info["transparency"] = 3
    return image


FILES = {
    "png": lambda: file_of(noise()),
    "png, transparent": lambda: file_of(noise(mode="RGBA")),
    "png, grey": lambda: file_of(noise(mode="L")),
    "png, grey, transparent": lambda: file_of(noise(mode="LA")),
    "png, 1 bit": lambda: file_of(noise(mode="1")),
    "png, 16 bits": lambda: file_of(sixteen_bits()),
    "png, palette": lambda: file_of(palette()),
    "png, animated": lambda: file_of(noise(), save_all=True, append_images=[noise(mode="L")]),
    "jpeg": lambda: file_of(noise(), "JPEG"),
    "jpeg, grey": lambda: file_of(noise(mode="L"), "JPEG"),
    "jpeg, cmyk": lambda: file_of(noise(mode="CMYK"), "JPEG"),
    "jpeg, progressive": lambda: file_of(noise(), "JPEG", progressive=True),
    "mpo": lambda: file_of(noise(), "MPO", save_all=True, append_images=[noise(48, 32)]),
    "webp": lambda: file_of(noise(), "WEBP"),
    "webp, transparent": lambda: file_of(noise(mode="RGBA"), "WEBP", lossless=True),
    "webp, animated": lambda: file_of(
        noise(), "WEBP", save_all=True, append_images=[noise(mode="L")]
    ),
}


def taken(value: object, limits: Limits = LIMITS) -> PictureIn:
    return picture_from(value, param="init_image", limits=limits)


def pixels(picture: PictureIn) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(picture.png)))


def is_plain(picture: PictureIn, mode: str) -> bool:
    """A whole PNG of these pixels, and nothing else."""
    image = Image.open(io.BytesIO(picture.png))
    kinds = png_chunks(picture.png)
    return (
        image.mode == mode
        and image.size == (picture.width, picture.height)
        and kinds == [b"IHDR", *[b"IDAT"] * (len(kinds) - 2), b"IEND"]
        and hashlib.sha256(picture.png).hexdigest() == picture.sha256
    )


@pytest.mark.parametrize("kind", [*FILES, pytest.param("avif", marks=AVIF)])
def test_the_pixels_are_those_that_a_command_reads(kind: str) -> None:
    content = FILES[kind]() if kind in FILES else file_of(noise(), "AVIF")
    picture = taken(content)
    assert is_plain(picture, "RGB")
    assert np.array_equal(pixels(picture), np.asarray(read_image(content)))
    assert np.array_equal(pixels(picture), np.asarray(read_image(picture.png)))
    text = base64.b64encode(content).decode()
    assert taken(text) == taken(f"data:image/anything;base64,{text}") == picture
    assert photo_from(content, param="photo", limits=LIMITS) == picture


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", pytest.param("AVIF", marks=AVIF)])
def test_pictures_are_turned_upright_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.linear_gradient("L").resize((64, 32)).convert("RGB")
    image.paste((255, 0, 0), (0, 0, 16, 8))
    picture = taken(file_of(image, kind, exif=exif))
    image.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(image)
    assert (picture.width, picture.height) == upright.size
    assert picture.width == (64 if orientation < 5 else 32)
    difference = np.abs(pixels(picture).astype(int) - np.asarray(upright))
    assert difference.mean() < 8  # JPEG's
    again = taken(picture.png)
    assert again.sha256 == picture.sha256


def with_all_metadata(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET
    exif.get_ifd(0x8825)[1] = "N"
    how: dict[str, Any] = {"exif": exif, "xmp": f"<x>{SECRET}</x>".encode()}
    how["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("parameters", SECRET)
        text.add_itxt("XML:com.adobe.xmp", SECRET)
        text.add_text("packed", SECRET, zip=True)
        how |= {"pnginfo": text, "dpi": (72, 72)}
    if kind == "JPEG":
        how["comment"] = SECRET
    return file_of(noise(), kind, **how)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", pytest.param("AVIF", marks=AVIF)])
def test_metadata_ends_here(kind: str) -> None:
    content = with_all_metadata(kind)
    assert SECRET.encode() in content
    assert is_plain(taken(content), "RGB")
    assert SECRET.encode() not in taken(content).png


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("tail", [b"PK\x03\x04 a zip", b"<script>alert(1)</script>", b"\0" * 9000])
def test_what_stands_behind_a_picture_ends_here(kind: str, tail: bytes) -> None:
    picture = taken(file_of(noise(), kind) + tail)
    assert is_plain(picture, "RGB")
    assert tail not in picture.png


def test_decoding_is_done_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0

    def read(image: Image.Image) -> Image.Image:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threading.Event().wait(0.005)
        at_once -= 1
        return read_image(image)

    monkeypatch.setattr(pictures_in, "read_image", read)
    content = file_of(noise())
    threads = [threading.Thread(target=taken, args=(content,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def mask(content: bytes, **how: Any) -> np.ndarray[Any, Any]:
    picture = mask_from(content, param="mask", limits=LIMITS, **how)
    assert is_plain(picture, "L")
    return pixels(picture)


def painted(colour: int, hidden: int = 0) -> bytes:
    """One brightness, where the mask is opaque; another where it is transparent."""
    grey = Image.fromarray(np.where(INSIDE > 0, colour, hidden).astype(np.uint8))
    return file_of(Image.merge("LA", (grey, Image.fromarray(INSIDE))))


@pytest.mark.parametrize("hidden", [0, 255])
def test_white_is_inside_and_transparent_is_not(hidden: int) -> None:
    assert np.array_equal(mask(file_of(Image.fromarray(INSIDE))), INSIDE)
    assert np.array_equal(mask(painted(255, hidden)), INSIDE)
    assert np.array_equal(
        mask(painted(255, hidden)), np.asarray(read_mask(Image.open(io.BytesIO(painted(255)))))
    )


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_openai_changes_what_is_transparent(colour: int) -> None:
    found = mask(painted(colour), transparent_is_inside=True)
    assert np.array_equal(found, 255 - INSIDE)
    photo = noise(mode="RGBA")
    assert np.array_equal(
        mask(file_of(photo), transparent_is_inside=True), 255 - np.asarray(photo)[..., 3]
    )


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_openai_s_masks_without_transparency_are_as_others(mode: str) -> None:
    content = file_of(Image.fromarray(INSIDE).convert(mode))
    assert np.array_equal(mask(content, transparent_is_inside=True), INSIDE)
    assert np.array_equal(mask(content), INSIDE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: file_of(Image.new("L", (8, 8))), "black everywhere"),
        (lambda: file_of(noise(mode="RGBA")), "colours and transparency"),
        (lambda: b"x", "expected a mask as PNG"),
    ],
)
def test_masks_that_say_nothing(content: Any, words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        mask_from(content(), param="people[1].region.mask", limits=LIMITS)
    assert (caught.value.code, caught.value.param) == ("bad_image", "people[1].region.mask")
    assert caught.value.message.startswith("people[1].region.mask: ")
