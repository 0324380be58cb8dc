"""Pictures that clients send, decoded once and written anew: as PNG, upright, without metadata.

What goes on from here is a file of our own with the same pixels. Whatever else was in the client's,
places and names of a photo, text, a second file behind it, ends here.
"""

from __future__ import annotations

import functools
import hashlib
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, features

from ...errors import ImageFileError
from ...pictures.png_text import read_picture_text
from ...system.image_file import is_transparent, read_image, upright
from ...system.mask_image import read_mask
from ...system.picture_decoding import decoding, described_content, is_heic, opened_picture
from ..errors import ApiError
from ..limits import Limits
from .given_bytes import Fetch, given_bytes
from .picture_header import FORMATS, jpeg_scans, picture_format, picture_size

__all__ = [
    "MAX_IMAGE_RATIO",
    "MAX_IMAGE_SIDE",
    "PictureIn",
    "mask_from",
    "paint_from",
    "photo_from",
    "picture_from",
    "picture_text_from",
    "reads_avif",
]

MAX_IMAGE_SIDE = 8192
"""Pixels along the longer side of a picture that is sent."""
MAX_IMAGE_RATIO = 200
"""Between the sides."""

_LEAST_ALPHA = 16
"""Of 255: where less was painted, nothing was."""
_MAX_SCANS = 100
"""Of a JPEG; the usual ones have 1 to 12."""
_COMPRESSION = 1
"""Of PNG, 0 to 9: a photo of 12 megapixels in less than a second, and a tenth larger."""

# A picture of 50 megapixels takes several hundred MB while it is decoded.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class PictureIn:
    """A picture from a client.

    Attributes:
        png: A PNG file of 8 bits: RGB, or grey if it is a mask; nothing but pixels is in it.
        width, height: Pixels.
        sha256: Of `png`.
    """

    png: bytes = field(repr=False)
    width: int
    height: int
    sha256: str


def picture_from(
    value: object, *, param: str, limits: Limits, fetch: Fetch | None = None
) -> PictureIn:
    """A picture to start from or to look at; what is transparent in it becomes white.

    Args:
        value: base64, with or without `data:...;base64,` before it; or the bytes of a form's file.
            PNG, JPEG, WebP, and AVIF where Pillow reads it; of several frames the first.
        param: The field, for messages.
        limits: How large it may be.
        fetch: Gets an https address; None: there are no addresses.

    Raises:
        ApiError: bad_image, image_too_large; or as `given_bytes`.
    """
    return _normalised(value, param, limits, fetch, "a picture", read_image)


def photo_from(
    value: object, *, param: str, limits: Limits, fetch: Fetch | None = None
) -> PictureIn:
    """A photo of a person; all as `picture_from`."""
    return _normalised(value, param, limits, fetch, "a photo", read_image)


def mask_from(
    value: object,
    *,
    param: str,
    limits: Limits,
    fetch: Fetch | None = None,
    transparent_is_inside: bool = False,
) -> PictureIn:
    """A mask: white is inside, black and transparent are outside.

    Args:
        value, param, limits, fetch: As for `picture_from`.
        transparent_is_inside: OpenAI's rule: what is transparent is inside, whatever colour it
            has. A mask without anything transparent is taken by its brightness, as others.

    Raises:
        ApiError: As `picture_from`; bad_image also where nothing is inside, or where it has both
            colours and transparency, so that what is meant cannot be told.
    """
    read = _by_transparency if transparent_is_inside else read_mask
    return _normalised(value, param, limits, fetch, "a mask", read)


def paint_from(value: object, *, param: str, limits: Limits) -> PictureIn:
    """What was painted over a picture, as a mask: white where it can be seen, of any colour.

    Args:
        value, param, limits: As for `picture_from`.

    Raises:
        ApiError: As `picture_from`.
    """
    return _normalised(value, param, limits, None, "a painted layer", _by_opacity)


def picture_text_from(
    value: object, *, param: str, limits: Limits, fetch: Fetch | None = None
) -> str | None:
    """The text in a picture that says how it was made; None: there is none.

    Args:
        value, param, limits, fetch: As for `picture_from`.

    Raises:
        ApiError: As `picture_from`; bad_image also for a text that is too long.
    """
    content, kind = _checked(value, param, limits, fetch, "a picture")
    with _one_at_a_time:
        try:
            with opened_picture(content, param, "a picture", FORMATS[kind]) as opened:
                wrong = _size_error(opened.size, param, limits)
            if wrong is not None:
                raise wrong
            return read_picture_text(content)
        except (ImageFileError, ValueError) as error:
            raise _image_error(error, param) from error


@functools.cache
def reads_avif() -> bool:
    """Whether this Pillow reads AVIF; older ones have not heard of it."""
    return "avif" in features.modules and bool(features.check("avif"))


def _normalised(
    value: object,
    param: str,
    limits: Limits,
    fetch: Fetch | None,
    expected: str,
    read: Callable[[Image.Image], Image.Image],
) -> PictureIn:
    content, kind = _checked(value, param, limits, fetch, expected)
    with _one_at_a_time:
        try:
            with opened_picture(content, param, expected, FORMATS[kind]) as opened:
                if (wrong := _size_error(opened.size, param, limits)) is None:
                    opened.seek(0)
                    turned = upright(opened)
            if wrong is not None:
                raise wrong
            picture = read(turned)
        except (ImageFileError, ValueError) as error:
            raise _image_error(error, param) from error
        file = io.BytesIO()
        with decoding(param, expected):
            picture.info.clear()  # a colour profile would be written
            picture.save(file, "PNG", compress_level=_COMPRESSION)
    png = file.getvalue()
    return PictureIn(png, picture.width, picture.height, hashlib.sha256(png).hexdigest())


def _checked(
    value: object, param: str, limits: Limits, fetch: Fetch | None, expected: str
) -> tuple[bytes, str]:
    """A file whose header has nothing against it, and its format."""
    content = given_bytes(
        value,
        param=param,
        max_bytes=limits.max_image_bytes,
        fetch=fetch,
        too_large="image_too_large",
    )
    kind = _checked_format(content, param, expected)
    if (size := picture_size(content)) and (wrong := _size_error(size, param, limits)):
        raise wrong
    return content, kind


def _checked_format(content: bytes, param: str, expected: str) -> str:
    """The format, of a file whose header has nothing against it."""
    kind = picture_format(content)
    if kind == "AVIF" and not reads_avif():
        kind = ""
    if not kind:
        found = "a HEIC picture" if is_heic(content) else described_content(content)
        known = [name for name in FORMATS if name != "AVIF" or reads_avif()]
        raise ApiError(
            "bad_image",
            f"{param}: expected {expected} as {', '.join(known[:-1])} or {known[-1]}, "
            f"found {found}",
            param,
        )
    if kind == "JPEG" and jpeg_scans(content, _MAX_SCANS) > _MAX_SCANS:
        raise ApiError(
            "image_too_large",
            f"{param}: a JPEG may have {_MAX_SCANS} scans at most; save it again, or send a PNG",
            param,
        )
    return kind


def _size_error(size: tuple[int, int], param: str, limits: Limits) -> ApiError | None:
    width, height = size
    if width < 1 or height < 1:
        return ApiError("bad_image", f"{param}: the picture has no pixels", param)
    reason = ""
    if width * height > limits.max_image_pixels:
        reason = f"{limits.max_image_mp:g} megapixels"
    elif max(size) > MAX_IMAGE_SIDE:
        reason = f"{MAX_IMAGE_SIDE} pixels a side"
    elif max(size) > MAX_IMAGE_RATIO * min(size):
        reason = f"{MAX_IMAGE_RATIO} times its shorter side along the longer one"
    if not reason:
        return None
    return ApiError(
        "image_too_large",
        f"{param}: the picture has {width} x {height} pixels, but may have {reason} at most; "
        "send a smaller one",
        param,
    )


def _image_error(error: Exception, param: str) -> ApiError:
    message = str(error)
    if isinstance(error.__cause__, Image.DecompressionBombError):
        return ApiError("image_too_large", message, param)
    if not message.startswith(param):
        message = f"{param}: {message}"
    return ApiError("bad_image", message, param)


def _by_transparency(image: Image.Image) -> Image.Image:
    """OpenAI's masks: white where the picture is transparent."""
    if is_transparent(image):
        opacity = image.convert("RGBA").getchannel("A")
        if opacity.getextrema() != (255, 255):
            return opacity.point(lambda value: 255 - value)
    return read_mask(image)


def _by_opacity(image: Image.Image) -> Image.Image:
    opacity = image.convert("RGBA").getchannel("A")
    return opacity.point(lambda value: 255 if value >= _LEAST_ALPHA else 0)
