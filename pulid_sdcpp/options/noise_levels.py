"""Noise levels in place of a schedule."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..errors import named, option_error
from ..terminal_text import counted

__all__ = ["check_sigmas"]


def check_sigmas(values: Sequence[float], max_steps: int) -> None:
    """Refuse noise levels that are no schedule; none are.

    Raises:
        ValueError: Too few, too many, or one that rises.
    """
    if not values:
        return
    if not 2 <= len(values) <= max_steps + 1:
        raise option_error(
            f"{named('sigmas')} has {counted(len(values), 'value')}, but must have 2 to "
            f"{max_steps + 1}"
        )
    if any(later > earlier for earlier, later in itertools.pairwise(values)):
        raise option_error(f"{named('sigmas')} must not rise from one step to the next")
