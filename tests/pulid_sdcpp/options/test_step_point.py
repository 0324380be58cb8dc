"""Points in a generation: steps and parts of them."""

from __future__ import annotations

import pytest

from pulid_sdcpp.options.step_point import StepPoint, check_step_point, parse_step_point, step_at


@pytest.mark.parametrize(
    ("point", "steps", "expected"),
    [(0, 4, 0), (3, 4, 3), (9, 4, 9), (0.0, 4, 0), (0.2, 20, 4), (0.1, 30, 3), (0.21, 20, 5),
     (1.0, 20, 20), (0.5, 1, 1)],
)  # fmt: skip
def test_which_step_it_is(point: StepPoint, steps: int, expected: int) -> None:
    assert step_at(point, steps) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", 4),
        (" 0 ", 0),
        ("0.2", 0.2),
        ("20%", 0.2),
        ("100%", 1.0),
        ("1.0", 1.0),
        ("12.5 %", 0.125),
    ],
)
def test_texts(text: str, expected: StepPoint) -> None:
    found = parse_step_point(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["", "four", "1.5", "-1", "120%", "nan", "%", "1e999", "4 steps"])
def test_texts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a step|^the step"):
        parse_step_point(text)


@pytest.mark.parametrize("value", [-1, 1.01, -0.1, float("nan"), "4", None, True, 2**31])
def test_values_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="start_step"):
        check_step_point("start_step", value)
