"""Tests that try the same many times: as often as proves it, or with PULID_TEST_LONG=1 far more.

A test or module that has a long form has the marker `long`, by which `make test-long` finds it.
"""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["IS_LONG", "times"]

IS_LONG = os.environ.get("PULID_TEST_LONG") == "1"

_Value = TypeVar("_Value")


def times(short: _Value, long: _Value) -> _Value:
    """How often to try it: in CI and by `make test`, or by `make test-long`."""
    return long if IS_LONG else short
