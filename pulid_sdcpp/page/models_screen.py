"""The screen Models."""

from __future__ import annotations

from typing import Any

from .parts import PageParts

__all__ = ["models_screen"]


def models_screen(service: Any, parts: PageParts) -> None:
    """Put the screen where the page is being built."""
