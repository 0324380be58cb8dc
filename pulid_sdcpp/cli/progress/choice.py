"""Which progress a command shows: text for people, or JSON for programs."""

from __future__ import annotations

from .json_progress import JsonProgress
from .progress import Progress

__all__ = ["create_progress"]


def create_progress(
    *, quiet: bool = False, as_json: bool = False, unit: str = "step", color: bool = False
) -> Progress:
    """For people, or for programs (one JSON object per line on stdout)."""
    if as_json:
        return JsonProgress(unit=unit)
    return Progress(quiet, unit=unit, color=color)
