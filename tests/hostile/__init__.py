"""Mutated files and texts, thousands of them, given to the commands as a stranger could.

The suite runs a part of each (PULID_HOSTILE_FACTOR, 0.03); `make test-hostile` runs all. A failure
names its seed and number, with which the same input is made again; PULID_HOSTILE_SEED chooses
others.
"""

import os

FACTOR = float(os.environ.get("PULID_HOSTILE_FACTOR", "0.03"))
SEED = int(os.environ.get("PULID_HOSTILE_SEED", "1"))
"""Which mutations: each is a function of this, its kind and its number."""


def count(of_all: int, least: int = 1) -> int:
    """How many of a long form's cases to run."""
    return max(least, round(of_all * FACTOR))
