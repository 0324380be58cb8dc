"""A preview in the binding's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .interface import Preview

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["preview_arguments"]


def preview_arguments(preview: Preview) -> dict[str, Any]:
    """Keyword arguments of the binding's `generate_image`, which calls at every evaluation."""
    shown = 0

    def show(step: int, frames: Sequence[Image], is_noisy: object) -> None:
        nonlocal shown
        step = abs(step)  # negative in the first evaluation of two that make a step
        if step != shown:
            shown = step
            preview.show(frames[0].convert("RGB"), step)

    return {
        "preview_callback": show,
        "preview_method": preview.method,
        "preview_interval": preview.interval,
        "preview_noisy": preview.noisy,
    }
