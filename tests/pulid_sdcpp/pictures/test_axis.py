from __future__ import annotations

import pytest

from pulid_sdcpp.pictures.axis import round_axis


@pytest.mark.parametrize(
    ("values", "include", "ticks"),
    [
        ([0.3, 0.9], [0, 1], "0.0 0.2 0.4 0.6 0.8 1.0"),
        # Below zero there is no -0, and nothing is off the axis.
        ([-0.240, 0.93], [0, 1], "-0.4 -0.2 0.0 0.2 0.4 0.6 0.8 1.0"),
        ([0.88, 1.0], [1], "0.88 0.90 0.92 0.94 0.96 0.98 1.00"),
        ([0.0667, 0.417], [0], "0.0 0.1 0.2 0.3 0.4 0.5"),
        ([1711, 300], [0], "0 500 1,000 1,500 2,000"),
        ([2.64], [0], "0.0 0.5 1.0 1.5 2.0 2.5 3.0"),
        ([0.1 + 0.2, 0.0], [], "0.00 0.05 0.10 0.15 0.20 0.25 0.30"),
        ([], [], "0.0 0.2 0.4 0.6 0.8 1.0"),
        ([0.0], [], "0.0 0.2 0.4 0.6 0.8 1.0"),
        ([-3.0], [], "-3.0 -2.5 -2.0 -1.5 -1.0 -0.5 0.0"),
    ],
)
def test_an_axis_has_round_numbers_around_all_values(
    values: list[float], include: list[float], ticks: str
) -> None:
    axis = round_axis(values, include)
    assert " ".join(text for _, text in axis.ticks) == ticks
    for value in [*values, *include]:
        assert -1e-9 <= axis.share(value) <= 1 + 1e-9
    assert axis.share(axis.low) == 0
    assert axis.share(axis.high) == 1
