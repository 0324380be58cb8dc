"""Painting where a person is, in place of a box."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from ..server.bodies.pictures_in import mask_from
from ..server.errors import ApiError
from . import texts
from .live import html
from .person_photo import PersonPhoto
from .photo_input import photo_input, uploaded
from .screen_parts import EVENT, told
from .start_picture import brush_field, painted_mask, painted_value

__all__ = ["PlacePainter"]

_LONG_SIDE_PX = 512


class PlacePainter:
    """The field to paint in, put where the page is being built.

    Args:
        service: Whose limits count for a mask that is uploaded.
        photos: State: a `PersonPhoto` for each card, which keeps its mask.
        stage: Says who is in the picture, and its shape.
    """

    def __init__(self, service: Any, photos: gr.State, stage: gr.HTML) -> None:
        self._service = service
        with gr.Accordion(texts.BRUSH, open=False) as part:
            whose = gr.Radio([], label=texts.BRUSH_WHO)
            canvas = brush_field(
                texts.BRUSH_CANVAS, has_picture=False, height=420, elem_id="place-canvas"
            )
            file = photo_input(texts.BRUSH_FILE, height=140, elem_id="place-file")
            with gr.Row():
                use = gr.Button(texts.BRUSH_USE, size="sm")
                clear = gr.Button(texts.BRUSH_CLEAR, size="sm")
            said = gr.HTML("", apply_default_css=False)
        part.expand(self.opened, stage, [whose, canvas], **EVENT)
        use.click(self.used, [whose, canvas, file, photos, stage], [photos, file, said], **EVENT)
        clear.click(self.cleared, [whose, photos, stage], [photos, said], **EVENT)

    async def opened(self, stage: Any) -> list[Any]:
        """Who is in the picture by now, and an empty canvas of its shape."""
        names = _names(stage)
        first = next(iter(names), None)
        ratio = stage.get("ratio", 1) if isinstance(stage, Mapping) else 1
        choices = [(name, card) for card, name in names.items()]
        canvas = await asyncio.to_thread(_empty, float(ratio or 1))
        return [gr.update(choices=choices, value=first), canvas]

    @told
    async def used(
        self, whose: str | None, canvas: Any, file: str | None, photos: Any, stage: Any
    ) -> list[Any]:
        """What is painted, or the file, is the person's place."""
        names = _names(stage)
        if whose not in names:
            raise ApiError("invalid_value", texts.BRUSH_NOBODY)
        content = await asyncio.to_thread(uploaded, file)
        if content is None:
            content = await asyncio.to_thread(painted_mask, canvas, self._service.limits)
        if content is None:
            raise ApiError("invalid_value", texts.NOT_PAINTED)
        mask = await asyncio.to_thread(
            mask_from, content, param="mask", limits=self._service.limits
        )
        said = texts.PAINTED.format(name=names[whose])
        return [_with_mask(photos, int(whose), mask.png), None, _note(said)]

    async def cleared(self, whose: str | None, photos: Any, stage: Any) -> list[Any]:
        """The person has a box again, or no place."""
        names = _names(stage)
        if whose not in names:
            return [gr.skip(), gr.skip()]
        said = texts.BOX_AGAIN.format(name=names[whose])
        return [_with_mask(photos, int(whose), b""), _note(said)]


def _names(stage: Any) -> dict[str, str]:
    """Who is in the picture, by card, whatever a browser sends."""
    rows = stage.get("people") if isinstance(stage, Mapping) else None
    return {
        str(row["card"]): str(row.get("name", ""))
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, Mapping) and isinstance(row.get("card"), int)
    }


def _with_mask(photos: Sequence[PersonPhoto], card: int, mask: bytes) -> list[PersonPhoto]:
    return [
        replace(photo, mask=mask) if number == card else photo
        for number, photo in enumerate(photos)
    ]


def _note(words: str) -> str:
    return str(html('<p class="field-note" role="status">{}</p>', words))


def _empty(ratio: float) -> dict[str, Any]:
    from PIL import Image

    ratio = min(max(ratio, 0.2), 5)
    scale = _LONG_SIDE_PX / max(ratio, 1)
    size = round(ratio * scale), round(scale)
    out = io.BytesIO()
    Image.new("RGB", size, "#6b7280").save(out, "PNG")
    return painted_value(out.getvalue())
