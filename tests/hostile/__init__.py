"""Mutated files and texts, thousands of them, given to the commands as a stranger could.

The suite runs a part of each, `make test-long` all. A failure names its seed and number, with which
the same input is made again; PULID_HOSTILE_SEED chooses others.
"""

import os

from long_form import times

PART = 0.03
"""Of the long form's cases, in the suite."""
SEED = int(os.environ.get("PULID_HOSTILE_SEED", "1"))
"""Which mutations: each is a function of this, its kind and its number."""


def count(of_all: int, least: int = 1) -> int:
    """How many of a long form's cases to run."""
    return times(max(least, round(of_all * PART)), of_all)
