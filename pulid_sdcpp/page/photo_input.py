"""Where pictures come into the page: a file, the camera, the clipboard, or dropped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import gradio as gr

__all__ = ["photo_input", "uploaded"]

_SHOWN_S = 20.0
"""So long a file stays that was put in; what is left is removed as the server starts."""


def photo_input(label: str, **settings: Any) -> gr.Image:
    """A field for a picture; an event's function is given its file, which nobody has opened."""
    field = gr.Image(
        label=label,
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        **settings,
    )
    # Gradio would open it, with its own words for what is no picture.
    field.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore
    return field


def uploaded(path: str | None, *, keep: bool = False) -> bytes | None:
    """What was put into the field; the file is removed in a moment.

    Args:
        path: As the event has it.
        keep: Leave the file, since the page still shows it.
    """
    if not path:
        return None
    file = Path(path)
    try:
        return file.read_bytes()
    except OSError:
        return None
    finally:
        if not keep:
            # Not at once: the browser may be fetching it to show it.
            removal = threading.Timer(_SHOWN_S, file.unlink, kwargs={"missing_ok": True})
            removal.daemon = True
            removal.start()
