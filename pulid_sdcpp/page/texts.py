"""The words of the page."""

from __future__ import annotations

__all__ = ["MORE", "ON_BAR", "PRODUCT", "SCREENS", "SKIP"]

PRODUCT = "PuLID"
SCREENS = {
    "create": "Create",
    "people": "People",
    "gallery": "Gallery",
    "grid": "Grid",
    "queue": "Queue",
    "models": "Models",
}
ON_BAR = ("create", "people", "gallery", "queue")
"""The screens that a phone's bar has; the others are behind MORE."""
MORE = "More"
SKIP = "Skip to the content"
