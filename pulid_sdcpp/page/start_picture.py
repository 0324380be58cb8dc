"""The picture to start from, with what was painted over it as a mask."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import gradio as gr

from ..server.bodies.pictures_in import paint_from
from ..server.limits import Limits

__all__ = ["brush_field", "painted_mask", "painted_picture", "painted_value"]

_MAX_LAYERS = 4
"""The field has one; a browser can send any number."""


def brush_field(label: str, *, has_picture: bool = True, **settings: Any) -> gr.ImageEditor:
    """A field to paint in; an event's function is given its files, which nobody has opened.

    Args:
        label: Of the field.
        has_picture: Whether a picture can be put below the paint.
    """
    field = gr.ImageEditor(
        label=label,
        sources=["upload", "webcam", "clipboard"] if has_picture else [],
        brush=gr.Brush(default_size="auto", colors=["#ffffff"], color_mode="fixed"),
        eraser=gr.Eraser(default_size="auto"),
        layers=False,
        transforms=(),
        **settings,
    )
    field.preprocess = lambda payload: payload  # type: ignore
    return field


def painted_picture(value: Any) -> bytes | None:
    """What is below the paint; None: nothing."""
    return _content(getattr(value, "background", None))


def painted_mask(value: Any, limits: Limits) -> bytes | None:
    """A mask, white where somebody painted, as a PNG; None: nobody did.

    Args:
        value: The field's.
        limits: How large what is painted may be.

    Raises:
        ApiError: bad_image, image_too_large.
    """
    from PIL import Image, ImageChops

    mask: Image.Image | None = None
    layers = (_content(layer) for layer in getattr(value, "layers", None) or ())
    for content in itertools.islice(filter(None, layers), _MAX_LAYERS):
        paint = paint_from(content, param="mask_image", limits=limits)
        with Image.open(io.BytesIO(paint.png)) as picture:
            layer = picture.convert("L")
        if mask is not None and mask.size == layer.size:
            layer = ImageChops.lighter(mask, layer)
        mask = layer
    if mask is None or mask.getbbox() is None:
        return None
    out = io.BytesIO()
    mask.save(out, "PNG")
    return out.getvalue()


def painted_value(picture: bytes, mask: bytes | None = None) -> dict[str, Any]:
    """A value of the field: a picture, and white paint where a mask is."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        background = opened.convert("RGB")
    layers = []
    if mask is not None:
        with Image.open(io.BytesIO(mask)) as opened:
            alpha = opened.convert("L").resize(background.size)
        layer = Image.new("RGBA", background.size, "#ffffff")
        layer.putalpha(alpha)
        layers = [layer]
    return {"background": background, "layers": layers, "composite": None}


def _content(file: Any) -> bytes | None:
    path = getattr(file, "path", None)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
