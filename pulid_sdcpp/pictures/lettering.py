"""Text drawn into charts and contact sheets.

The font is the one that Pillow brings along, so that every machine draws the same. At small sizes
its letters stand on whole pixels and its spaces are hardly two pixels wide, so that words run
together: here text is drawn several times as large and made smaller, and a space is as wide as in
print. That font has the letters of English only. For a text with others, a font of the system is
taken that has them; without one, accents are left out, and what is unknown is a question mark.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

__all__ = ["Lettering"]

_FINER = 4
"""How many times as large a text is drawn."""
_SPACE = 0.3
"""Of the size: how wide a space is."""
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "arial.ttf",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "Arial Unicode.ttf",
)
"""Of Linux, Windows and macOS, by the names under which Pillow finds them."""
_ABSENT = "\uffff"
"""No character: a font shows it as all those that it lacks."""


class Lettering:
    """Text of one size.

    Args:
        size_px: Of the letters, in pixels.

    Attributes:
        line_px: Height of a line, whether its letters reach above or below or not.
    """

    def __init__(self, size_px: float) -> None:
        self._size_px = size_px
        self._drawn_px = size_px * _FINER
        self.line_px = int(_font("", self._drawn_px).getbbox("Ágjy|")[3] / _FINER) + 2

    def width(self, text: str) -> float:
        """How many pixels wide a text of one line is."""
        name, text = _font_name(text), _known(text)
        spaces = text.count(" ") * _SPACE * self._size_px
        return sum(self._word_width(word, name) for word in text.split(" ")) + spaces

    def draw(
        self,
        picture: Image.Image,
        place: tuple[float, float],
        text: str,
        color: str | tuple[int, int, int],
        anchor: str = "la",
    ) -> None:
        """Write a line of text.

        Args:
            picture: What it is written on.
            place: x and y.
            text: Without line breaks.
            color: Of the letters.
            anchor: What of the text is at `place`, two letters: l, m or r (left, middle, right),
                and a, m or b (above the letters, their middle, below them).
        """
        from PIL import Image, ImageDraw

        width = self.width(text)
        x = place[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * width
        y = place[1] - {"a": 0.0, "m": 0.5, "b": 1.0}[anchor[1]] * self.line_px
        left, top = int(x // 1), int(y // 1)
        size = (int(width) + 3, self.line_px + 2)
        mask = Image.new("L", (size[0] * _FINER, size[1] * _FINER))
        canvas = ImageDraw.Draw(mask)
        name = _font_name(text)
        font = _font(name, self._drawn_px)
        across, down = (x - left) * _FINER, (y - top) * _FINER
        for word in _known(text).split(" "):
            canvas.text((round(across), round(down)), word, 255, font)
            across += (self._word_width(word, name) + _SPACE * self._size_px) * _FINER
        picture.paste(color, (left, top), mask.reduce(_FINER))

    def cut(self, text: str, width_px: float) -> str:
        """`text` as one line, or as much of its beginning as fits with dots after it."""
        text = " ".join(text.split())
        if self.width(text) <= width_px:
            return text
        while text and self.width(f"{text}...") > width_px:
            text = text[:-1].rstrip()
        return f"{text}..."

    def wrapped(self, text: str, width_px: float, max_lines: int) -> list[str]:
        """Lines no wider than `width_px`, broken between words; the last is cut off if need be."""
        lines: list[str] = []
        for word in text.split():
            if lines and self.width(f"{lines[-1]} {word}") <= width_px:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        if len(lines) > max_lines:
            last = max_lines - 1
            lines = [*lines[:last], " ".join(lines[last:])]
        return [self.cut(line, width_px) for line in lines]

    def _word_width(self, word: str, font_name: str) -> float:
        return float(_font(font_name, self._drawn_px).getlength(word)) / _FINER


@cache
def _font(name: str, size_px: float) -> Font:
    """A font of the system; "": Pillow's own."""
    from PIL import ImageFont

    return ImageFont.truetype(name, size_px) if name else ImageFont.load_default(size_px)


def _font_name(text: str) -> str:
    """The first font that has all of the text; "", Pillow's own, too where none has."""
    if text.isascii():
        return ""
    return next((name for name in ("", *_system_fonts()) if _has(name, text)), "")


def _known(text: str) -> str:
    """The text in letters that its font has."""
    name = _font_name(text)
    if text.isascii() or _has(name, text):
        return text
    plain = unicodedata.normalize("NFKD", text)
    letters = (char for char in plain if not unicodedata.combining(char))
    return "".join(char if _has(name, char) else "?" for char in letters)


@cache
def _system_fonts() -> tuple[str, ...]:
    """Those that are installed."""
    return tuple(name for name in _SYSTEM_FONTS if _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        _font(name, 16.0)
    except OSError:
        return False
    return True


def _has(name: str, text: str) -> bool:
    return all(_has_letter(name, char) for char in set(text))


@cache
def _has_letter(name: str, char: str) -> bool:
    if char == " ":
        return True
    found, absent = (_font(name, 16.0).getmask(each) for each in (char, _ABSENT))
    return (found.size, bytes(found)) != (absent.size, bytes(absent))
