"""Where in the picture the people are: boxes to drag, and numbers that say the same.

Gradio has no such component, and those of others load code from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import gradio as gr

from .texts import PLACES_OF_PEOPLE, STAGE

__all__ = ["boxes_in", "region_stage", "stage_value"]


def region_stage() -> gr.HTML:
    """The component; its value is that of `stage_value`."""
    return gr.HTML(
        stage_value(1, []),
        html_template="",
        js_on_load=_script(),
        apply_default_css=False,
        elem_id="region-stage",
    )


def _script() -> str:
    """With its words in it: properties of a component get lost while it is not in sight."""
    words = json.dumps({"places": PLACES_OF_PEOPLE, **STAGE})
    code = files(__package__).joinpath("region_stage.js").read_text(encoding="utf-8")
    return f"const WORDS = {words};\n{code}"


def stage_value(
    ratio: float, people: Sequence[tuple[int, str, Sequence[float] | None, bool]]
) -> dict[str, Any]:
    """The stage's value.

    Args:
        ratio: The picture's width by its height.
        people: Number of the card, name, box (x, y, width, height in parts, or None), and whether
            the place is painted instead.
    """
    rows = [
        {
            "card": card,
            "name": name,
            "box": list(box) if box and not painted else None,
            "painted": painted,
        }
        for card, name, box, painted in people
    ]
    return {"ratio": ratio, "people": rows}


def boxes_in(value: Any) -> dict[int, tuple[float, ...]]:
    """The boxes by card, whatever a browser sends."""
    found: dict[int, tuple[float, ...]] = {}
    rows = value.get("people") if isinstance(value, Mapping) else None
    for row in rows if isinstance(rows, list) else ():
        box = row.get("box") if isinstance(row, Mapping) else None
        if not isinstance(box, list) or len(box) != 4:
            continue
        if all(isinstance(part, int | float) for part in box):
            found[int(row.get("card", 0))] = tuple(float(part) for part in box)
    return found
