"""Picture files from outside, opened by Pillow: which formats, and what is wrong with a file.

All readers of pictures decode here, so that a file is the same picture, or the same error, to all.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import threading
import warnings
from collections.abc import Collection, Iterator

from PIL import Image, UnidentifiedImageError

from ..errors import ImageFileError
from .file_signature import SIGNATURE_BYTES, signature

__all__ = ["MAX_PICTURE_BYTES", "decoding", "described_content", "is_heic", "opened_picture"]

MAX_PICTURE_BYTES = 1 << 30

_FORMATS = (
    "AVIF",
    "BMP",
    "GIF",
    "JPEG",
    "JPEG2000",
    "MPO",
    "PNG",
    "PPM",
    "TGA",
    "TIFF",
    "WEBP",
)
"""Picture formats only: Pillow would also run Ghostscript on an EPS."""

_NEEDS = "which cannot be read here; install what reads it with"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# What it logs of damaged files would be printed where nobody has set up logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Filters of warnings are the whole process's: two threads that each put back what they found
# could leave them off.
_filters = threading.RLock()


@contextlib.contextmanager
def opened_picture(
    content: bytes, name: str, expected: str = "a picture", only: Collection[str] = ()
) -> Iterator[Image.Image]:
    """Open a picture file by its bytes; what is wrong inside the block is said as by `decoding`.

    Args:
        content: All that is in the file.
        name: What to call it in messages.
        expected: What it should be, with an article.
        only: Formats, as Pillow names them, where not all are wanted.

    Raises:
        ImageFileError: It is no picture in a format that is read, damaged, or too big.
    """
    Image.init()
    formats = [name for name in only or _FORMATS if name in Image.OPEN]
    if not only and is_heic(content) and _has_heif_reader():
        formats.append("HEIF")
    with decoding(name, expected, content), Image.open(io.BytesIO(content), formats=formats) as it:
        yield it


def is_heic(content: bytes) -> bool:
    """Whether it begins as HEIC does, the format of iPhones."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS


@functools.cache
def _has_heif_reader() -> bool:
    """Whether the optional package for HEIC is there; Pillow knows the format from then on."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextlib.contextmanager
def decoding(name: str, expected: str = "a picture", content: bytes = b"") -> Iterator[None]:
    """Turn whatever Pillow raises inside the block into one error; its warnings are not shown.

    Args:
        name, expected: As for `opened_picture`.
        content: What is in the file, to say what it is instead.

    Raises:
        ImageFileError: Whatever was raised.
    """
    try:
        with _filters, warnings.catch_warnings():
            # Big but possible photos only warn; the limit is Pillow's error at 179 megapixels.
            warnings.simplefilter("ignore")
            yield
    except ImageFileError:
        raise
    except UnidentifiedImageError:
        raise ImageFileError(
            f"{name}: expected {expected} (JPEG, PNG, WebP, TIFF, ...), found "
            f"{described_content(content)}"
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{name}: the picture is too big: {_one_line(error)}") from error
    except MemoryError:
        raise ImageFileError(f"{name}: the picture is too big for the free memory") from None
    except Exception as error:
        # Decoders raise whatever they like on damaged data: OSError, SyntaxError, struct.error,
        # RuntimeError, NotImplementedError.
        raise ImageFileError(
            f"{name}: expected {expected.replace('a ', 'a complete ', 1)}, found a damaged or "
            f"truncated file ({_one_line(error)})"
        ) from error


def described_content(content: bytes) -> str:
    """A few words on a file that is no picture we know."""
    if not content:
        return "an empty file"
    if content[4:8] == b"ftyp":
        if is_heic(content):
            if _has_heif_reader():
                return "a HEIC picture that is damaged, or of a kind that cannot be read"
            return f"a HEIC picture, {_NEEDS} 'pip install pillow-heif', or convert it to JPEG"
        if content[8:12] in (b"avif", b"avis"):
            return f"an AVIF picture, {_NEEDS} 'pip install pillow>=11.3', or convert it to JPEG"
        return "a video or another ISO media file"
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<") and b"<svg" in start:
        return "an SVG drawing; convert it to JPEG or PNG"
    if start.startswith(b"%!ps"):
        return "an EPS or PostScript drawing; convert it to JPEG or PNG"
    if start.startswith((b"<!do", b"<htm", b"<?xm")):
        return "a web page or another XML file"
    found = signature(content[:SIGNATURE_BYTES])
    return found if found != signature(b"") else f"a file that starts with {content[:8]!r}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
