"""What the start-up benchmark makes of what it measured."""

from __future__ import annotations

import sys

import pytest

from startup import BARE, time_figures


def test_an_entrance_costs_what_it_takes_above_a_bare_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = {
        BARE: (0.02, 0.01),
        "import pulid_sdcpp": (0.08, 0.015),
        "pulid-sdcpp --help": (0.10, 0.12),
    }
    monkeypatch.setattr(sys, "platform", "linux")
    imported, helped = time_figures(times, 3)
    assert imported.value == pytest.approx(0.005)
    assert imported.met
    assert helped.value == pytest.approx(0.11)
    assert not helped.met
    monkeypatch.setattr(sys, "platform", "win32")  # which counts no CPU time of children
    imported, helped = time_figures(times, 3)
    assert (imported.met, helped.met) == (False, True)
    assert imported.note.startswith("wall")
