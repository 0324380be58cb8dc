"""How somebody is drawn: what a prompt names, and what nobody names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .palette import BACKGROUNDS, SHIRTS

__all__ = ["EXPRESSIONS", "STYLES", "Scene", "sample_scene"]

EXPRESSIONS = ("neutral", "smiling", "surprised")
STYLES = ("photo", "monochrome", "comic")
_STYLE_SHARES = (0.72, 0.12, 0.16)


@dataclass(frozen=True)
class Scene:
    """One picture's circumstances.

    Attributes:
        background, expression, style, shirt: Index into `palette.BACKGROUNDS`, EXPRESSIONS,
            STYLES, `palette.SHIRTS`. These a caption names.
        shift_x, shift_y: Where the head is, in shares of the picture's side.
        tilt: Of the head, radians.
        scale: Of the head, about 1.
        yaw: How far eyes, nose and mouth move sideways, in shares of the side.
        light: From left (negative) or right, brightness gained at the edge.
        brightness: Of the whole picture, about 1.
        open_collar: Whether the shirt is open at the neck.
    """

    background: int
    expression: int
    style: int
    shirt: int
    shift_x: float = 0.0
    shift_y: float = 0.0
    tilt: float = 0.0
    scale: float = 1.0
    yaw: float = 0.0
    light: float = 0.0
    brightness: float = 1.0
    open_collar: bool = False


def sample_scene(rng: np.random.Generator, *, pose: float = 1.0, style: int | None = None) -> Scene:
    """Any scene; the same generator state and arguments give the same scene.

    Args:
        pose: How much of the range of pose and light is used, 0..1. What a model is to draw
            needs a small range, what it is to recognise the whole.
        style: That style instead of any.
    """
    any_style = int(rng.choice(len(STYLES), p=_STYLE_SHARES))

    def around(middle: float, reach: float) -> float:
        return float(middle + pose * rng.uniform(-reach, reach))

    return Scene(
        background=int(rng.integers(len(BACKGROUNDS))),
        expression=int(rng.integers(len(EXPRESSIONS))),
        style=any_style if style is None else style,
        shirt=int(rng.integers(len(SHIRTS))),
        shift_x=around(0, 0.035),
        shift_y=around(0, 0.022),
        tilt=around(0, 0.14),
        scale=around(1.0, 0.06),
        yaw=around(0, 0.028),
        light=around(0, 0.24),
        brightness=around(1.0, 0.07),
        open_collar=bool(rng.integers(2)),
    )
