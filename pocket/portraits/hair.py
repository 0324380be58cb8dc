"""Twelve hairstyles, in two parts: what lies behind the face and what falls in front of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .canvas import Canvas
from .head import Head, ellipse
from .palette import Color, mix

__all__ = ["draw_hair_behind", "draw_hair_in_front"]


class _Brush:
    """Draws shapes of the head as hair."""

    def __init__(self, canvas: Canvas, head: Head) -> None:
        self.canvas, self.head = canvas, head
        self.wide, self.high = head.half_width, head.half_height
        self.volume, self.fringe = head.person.hair_volume, head.person.fringe

    def fill(self, points: object, color: Color, *, outlined: bool = True) -> None:
        self.canvas.polygon(self.head.place(points), color, "hair", outlined=outlined)

    def strand(self, points: object, color: Color, width: float = 0.012) -> None:
        self.canvas.line(self.head.place(points), width, color, "hair")

    def cap(self, over: float, lift: float) -> list[tuple[float, float]]:
        """The skull's outline from left to right, `over` times as wide and `lift` higher."""
        return [
            (math.sin(turn) * self.wide * over, -math.cos(turn) * (self.high + lift))
            for turn in np.linspace(-np.pi / 2, np.pi / 2, 21)
        ]


def draw_hair_behind(canvas: Canvas, head: Head) -> None:
    brush, style = _Brush(canvas, head), head.person.hairstyle_name
    wide, high, volume = brush.wide, brush.high, brush.volume
    back = head.hair_shade
    if style == "long":
        side = wide * 1.18 + 0.03 * volume
        brush.fill(ellipse(0, -0.1, side, high * 0.95), back)
        brush.fill([(-side, -0.12), (-side - 0.02, 0.5), (side + 0.02, 0.5), (side, -0.12)], back)
    elif style == "bob":
        side = wide * 1.26 + 0.03 * volume
        brush.fill(ellipse(0, -0.03, side, high * 1.1), back)
        brush.fill([(-side, -0.02), (-side, 0.23), (side, 0.23), (side, -0.02)], back)
    elif style == "afro":
        brush.fill(
            ellipse(0, -0.13, wide * 1.36 + 0.05 * volume, high * 1.02 + 0.03 * volume), back
        )
    elif style == "bun":
        brush.fill(ellipse(0, -high - 0.04, 0.085 + 0.03 * volume, 0.07 + 0.02 * volume), back)
    elif style == "curly":
        for turn in np.linspace(-2.3, 2.3, 13):
            x, y = math.sin(turn) * wide * 1.12, -0.06 - math.cos(turn) * high * 0.88
            brush.fill(ellipse(x, y, 0.068 + 0.015 * volume, 0.068 + 0.015 * volume), back)
    elif style == "pigtails":
        for side in (-1, 1):
            x = side * (wide * 1.2 + 0.05)
            size = 0.075 + 0.025 * volume
            brush.fill(ellipse(x, 0.02, size, size * 1.5, -0.3 * side), back)


def draw_hair_in_front(canvas: Canvas, head: Head) -> None:
    style = head.person.hairstyle_name
    if style in _FRONTS:
        _FRONTS[style](_Brush(canvas, head))


def _buzz(brush: _Brush) -> None:
    wide, low = brush.wide, -0.17 - 0.04 * brush.fringe
    color = mix(brush.head.skin, brush.head.hair, 0.7)
    edge = [(wide * 0.9, -0.11), (wide * 0.72, low), (0, low - 0.03), (-wide * 0.72, low)]
    brush.fill([*brush.cap(1.02, 0.012), *edge, (-wide * 0.9, -0.11)], color)


def _short(brush: _Brush) -> None:
    wide, low = brush.wide, -0.14 - 0.06 * brush.fringe
    edge = [(wide, 0.02), (wide * 0.86, -0.05), (wide * 0.8, low), (wide * 0.3, low - 0.02)]
    edge += [(-wide * 0.2, low), (-wide * 0.8, low - 0.01), (-wide * 0.86, -0.05), (-wide, 0.02)]
    brush.fill([*brush.cap(1.07, 0.035 + 0.03 * brush.volume), *edge], brush.head.hair)


def _side_part(brush: _Brush) -> None:
    wide, fringe = brush.wide, brush.fringe
    edge = [(wide * 1.02, 0.03), (wide * 0.86, -0.06), (wide * 0.62, -0.11 - 0.03 * fringe)]
    edge += [(wide * 0.1, -0.14 - 0.04 * fringe), (-wide * 0.5, -0.24), (-wide * 0.84, -0.1)]
    edge += [(-wide * 1.02, 0.03)]
    side = 1 if brush.head.person.parting else -1
    shape = np.array([*brush.cap(1.09, 0.045 + 0.04 * brush.volume), *edge])
    brush.fill(shape * (side, 1), brush.head.hair)
    brush.strand([(-side * wide * 0.5, -0.24), (-side * wide * 0.4, -0.34)], brush.head.hair_shade)


def _spiky(brush: _Brush) -> None:
    wide, high = brush.wide, brush.high
    reach = 0.05 + 0.05 * brush.volume
    points: list[tuple[float, float]] = []
    for index, turn in enumerate(np.linspace(-1.45, 1.45, 15)):
        out = reach if index % 2 else 0.0
        points.append((math.sin(turn) * (wide * 1.04 + out), -math.cos(turn) * (high + 0.01 + out)))
    low = -0.15 - 0.05 * brush.fringe
    for index, x in enumerate(np.linspace(0.86, -0.86, 9)):
        points.append((wide * x, low + (0.045 if index % 2 else 0.0)))
    brush.fill(points, brush.head.hair)


def _curtains(brush: _Brush) -> None:
    """Bob and long hair: a fringe, or a parting in the middle."""
    wide = brush.wide
    cap = brush.cap(1.13, 0.045 + 0.03 * brush.volume)
    right = [(1.12, 0.17), (0.86, 0.04)]
    if brush.fringe > 0.5:
        right += [(0.8, -0.1), (0.4, -0.09)]
        middle = -0.095
    else:
        right += [(0.74, -0.1), (0.22, -0.23)]
        middle = -0.27
    edge = [(wide * x, y) for x, y in right] + [(0.0, middle)]
    edge += [(-wide * x, y) for x, y in reversed(right)]
    brush.fill([*cap, *edge], brush.head.hair)
    for side in (-1, 1):
        brush.strand([(side * wide * 0.5, -0.3), (side * wide * 0.97, -0.1)], brush.head.hair_light)


def _afro(brush: _Brush) -> None:
    wide = brush.wide
    edge = [(wide * 0.95, -0.03), (wide * 0.74, -0.15), (wide * 0.3, -0.2)]
    mirrored = [(-x, y) for x, y in reversed(edge)]
    brush.fill([*brush.cap(1.14, 0.09), *edge, *mirrored], brush.head.hair, outlined=False)


def _mohawk(brush: _Brush) -> None:
    half, high = 0.06 + 0.03 * brush.volume, brush.high
    tip = -high - 0.11
    right = [(half * 0.6, tip), (half * 1.1, -high - 0.05), (half, -0.17)]
    left = [(-x, y) for x, y in reversed(right)]
    brush.fill([*right, *left], brush.head.hair)


def _tied(brush: _Brush) -> None:
    """Bun and pigtails: combed back from the forehead."""
    wide = brush.wide
    edge = [(wide * 0.98, -0.03), (wide * 0.8, -0.14), (wide * 0.3, -0.2 - 0.04 * brush.fringe)]
    mirrored = [(-x, y) for x, y in reversed(edge)]
    brush.fill([*brush.cap(1.06, 0.025), *edge, *mirrored], brush.head.hair)
    if brush.head.person.hairstyle_name == "pigtails":
        brush.strand([(0, -0.21), (0, -brush.high - 0.02)], brush.head.hair_shade)


def _curly(brush: _Brush) -> None:
    wide, high, size = brush.wide, brush.high, 0.06 + 0.012 * brush.volume
    for turn in np.linspace(-1.25, 1.25, 9):
        place = (math.sin(turn) * wide * 0.96, -0.01 - math.cos(turn) * high * 0.88)
        brush.fill(ellipse(*place, size, size), brush.head.hair)
    for turn in np.linspace(-0.8, 0.8, 6):
        place = (math.sin(turn) * wide * 0.85, -math.cos(turn) * high * 0.8 + 0.03 * brush.fringe)
        brush.fill(ellipse(*place, 0.048, 0.048), brush.head.hair_light)


_FRONTS: dict[str, Callable[[_Brush], None]] = {
    "buzz": _buzz,
    "short": _short,
    "side part": _side_part,
    "spiky": _spiky,
    "bob": _curtains,
    "long": _curtains,
    "afro": _afro,
    "mohawk": _mohawk,
    "bun": _tied,
    "pigtails": _tied,
    "curly": _curly,
}
