"""The screen Queue."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .parts import PageParts

__all__ = ["queue_screen"]


def queue_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
    gr.Textbox(label="Prompt", lines=3, value="queue")
