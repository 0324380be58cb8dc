"""The screen Gallery."""

from __future__ import annotations

from typing import Any

from .parts import PageParts

__all__ = ["gallery_screen"]


def gallery_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
