"""What a prompt may be: so long, and with weights that are numbers of a size that means something.

The engine reads `(more)`, `((yet more))`, `[less]` and `(as said:1.3)`; its reader is parse_prompt
of native/src/pulid_text.hpp.
"""

from __future__ import annotations

import itertools
import math
import re

from ..errors import named, option_error
from ..terminal_text import shown
from .checks import check_text

__all__ = ["MAX_PROMPT_BYTES", "MAX_PROMPT_CHARS", "MAX_PROMPT_WEIGHT", "check_prompt"]

MAX_PROMPT_CHARS = 10_000  # T5 reads 256 to 512 tokens; the rest is memory for nothing
MAX_PROMPT_BYTES = 30_000  # in UTF-8, where a letter has up to 4
MAX_PROMPT_WEIGHT = 100.0  # above it the picture is noise; max_prompt_weight of pulid_text.hpp

_MARK = re.compile(r"\\[()\[\]\\]?|:([+-]?[.0-9]+)\)|[()\[\]:]|[^\\()\[\]:]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_MORE = 1.1


def check_prompt(name: str, value: str) -> None:
    """Refuse what no prompt can be.

    Raises:
        ValueError: No text, too long, or with a weight that is no number or above
            MAX_PROMPT_WEIGHT; of a colon with a number before a bracket it says how to mean them.
    """
    check_text(name, value, MAX_PROMPT_CHARS)
    size = len(value.encode())
    if size > MAX_PROMPT_BYTES:
        raise option_error(
            f"{named(name)} has {size} bytes, but may have {MAX_PROMPT_BYTES}; shorten it"
        )
    largest = _largest_weight(name, value)
    if largest > math.log(MAX_PROMPT_WEIGHT) + 1e-6:
        raise option_error(
            f"{named(name)} gives a part of it a weight of about 10^{largest / math.log(10):.0f} "
            f"by its "
            f"brackets, but a weight may be {MAX_PROMPT_WEIGHT:g}; write \\( and \\) for brackets "
            "that are only text"
        )


def _largest_weight(name: str, prompt: str) -> float:
    """The logarithm of the largest weight in size that any part of the prompt has."""
    # A weight is added where its bracket begins and taken away where it ends, so that brackets
    # nested thousands deep cost no more than their number.
    changes: dict[int, float] = {}
    zeros: dict[int, int] = {}
    parts = 0
    round_: list[int] = []
    square: list[int] = []

    def weigh(start: int, weight: float) -> None:
        for at, sign in ((start, 1), (parts, -1)):
            if weight == 0:
                zeros[at] = zeros.get(at, 0) + sign
            else:
                changes[at] = changes.get(at, 0.0) + sign * math.log(weight)

    for mark in _MARK.finditer(prompt):
        text, weight = mark.group(), mark.group(1)
        if text in "([":
            (round_ if text == "(" else square).append(parts)
        elif weight is not None:
            if round_:
                weigh(round_.pop(), _weight(name, weight))
        elif text == ")" and round_:
            weigh(round_.pop(), _MORE)
        elif text == "]" and square:
            weigh(square.pop(), 1 / _MORE)
        else:
            parts += 1
    for start in round_:
        weigh(start, _MORE)
    for start in square:
        weigh(start, 1 / _MORE)

    places = range(parts)
    sums = itertools.accumulate(changes.get(at, 0.0) for at in places)
    hidden = itertools.accumulate(zeros.get(at, 0) for at in places)
    return max((total for total, zero in zip(sums, hidden, strict=True) if not zero), default=0.0)


def _weight(name: str, text: str) -> float:
    number = _NUMBER.match(text)
    weight = abs(float(number.group())) if number else math.inf
    if not number or not weight <= MAX_PROMPT_WEIGHT:
        raise option_error(
            f"{named(name)} has the weight {shown(text)} in brackets, but a weight must be a "
            f"number from "
            f"-{MAX_PROMPT_WEIGHT:g} to {MAX_PROMPT_WEIGHT:g}; write \\( and \\) for brackets "
            "that are only text"
        )
    return weight
