"""The screen Grid."""

from __future__ import annotations

from typing import Any

from .parts import PageParts

__all__ = ["grid_screen"]


def grid_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
