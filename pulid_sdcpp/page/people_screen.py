"""The screen People."""

from __future__ import annotations

from typing import Any

from .parts import PageParts

__all__ = ["people_screen"]


def people_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
