"""Colours of the drawn world, far enough apart that a small network keeps them apart."""

from __future__ import annotations

Color = tuple[float, float, float]
"""Red, green, blue, 0..255."""

SKIN: tuple[Color, ...] = (
    (255, 226, 206),
    (244, 204, 172),
    (229, 178, 138),
    (204, 147, 103),
    (168, 113, 74),
    (126, 80, 50),
    (84, 52, 34),
)
"""From light to dark; a person's skin lies anywhere between."""

HAIR: dict[str, Color] = {
    "black": (28, 24, 28),
    "brown": (92, 54, 28),
    "chestnut": (150, 90, 44),
    "red": (196, 72, 20),
    "blond": (236, 196, 98),
    "grey": (146, 148, 156),
    "white": (240, 240, 238),
    "pink": (230, 84, 154),
    "blue": (52, 92, 214),
}

EYES: dict[str, Color] = {
    "brown": (96, 54, 22),
    "blue": (44, 120, 220),
    "green": (52, 156, 72),
    "grey": (134, 142, 154),
    "amber": (206, 138, 30),
}

GLASSES: dict[str, Color] = {
    "black": (26, 26, 32),
    "red": (190, 30, 44),
    "gold": (206, 158, 50),
    "blue": (38, 80, 180),
}

BACKGROUNDS: dict[str, Color] = {
    "red": (214, 58, 52),
    "blue": (62, 112, 218),
    "green": (66, 168, 84),
    "yellow": (242, 210, 74),
    "purple": (150, 78, 184),
    "white": (240, 240, 240),
    "black": (40, 42, 50),
    "orange": (242, 146, 54),
}

SHIRTS: dict[str, Color] = {
    "red": (166, 38, 46),
    "blue": (40, 66, 140),
    "green": (34, 112, 76),
    "yellow": (206, 164, 40),
    "white": (226, 226, 230),
    "black": (54, 54, 62),
}


def mix(first: Color, second: Color, share: float) -> Color:
    """`share` of the second in the first."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore


def skin_color(tone: float) -> Color:
    """The skin at `tone`, 0 (light) to 1 (dark)."""
    place = tone * (len(SKIN) - 1)
    index = min(int(place), len(SKIN) - 2)
    return mix(SKIN[index], SKIN[index + 1], place - index)


def luma(color: Color) -> float:
    """Brightness, ITU-R BT.601."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
