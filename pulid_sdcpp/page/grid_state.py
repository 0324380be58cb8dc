"""What is asked of a grid on the screen, as the body of `POST /pulid/v1/grids`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..server.errors import ApiError

__all__ = ["grid_body", "grid_count", "numbers_in", "time_text"]

_SEPARATORS = re.compile(r"[\s,;]+")


def numbers_in(text: str, kind: type[int] | type[float], field: str) -> list[Any]:
    """Numbers with commas or spaces between them.

    Raises:
        ApiError: "invalid_value": something else is among them.
    """
    found = []
    for part in _SEPARATORS.split((text or "").strip()):
        if not part:
            continue
        try:
            found.append(kind(part))
        except ValueError:
            kinds = "whole numbers" if kind is int else "numbers"
            raise ApiError(
                "invalid_value", f"{field}: expected {kinds}, found {part[:40]}", field
            ) from None
    return found


def grid_body(
    people: Sequence[str], prompts: str, seeds: str, weights: str, request: dict[str, Any]
) -> dict[str, Any]:
    """The body.

    Args:
        people: Names.
        prompts: One a line.
        seeds, weights: Numbers.
        request: What all pictures share.

    Raises:
        ApiError: "invalid_value".
    """
    lines = [line.strip() for line in (prompts or "").splitlines() if line.strip()]
    body: dict[str, Any] = {
        "people": [{"identity": name} for name in people],
        "request": request,
    }
    for name, values in (
        ("prompts", lines),
        ("seeds", numbers_in(seeds, int, "seeds")),
        ("weights", numbers_in(weights, float, "weights")),
    ):
        if values:
            body[name] = values
    return body


def grid_count(body: dict[str, Any], default_prompts: int) -> int:
    """How many pictures a body asks for."""
    counts = (len(body.get(name, ())) for name in ("seeds", "weights"))
    number = len(body.get("prompts", ())) or default_prompts
    for count in counts:
        number *= max(count, 1)
    return number


def time_text(seconds: float) -> str:
    """How long something takes, roughly."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
