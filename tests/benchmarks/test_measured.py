from __future__ import annotations

from pathlib import Path

import pytest

from measured import Comparison, Figure, Measured, run_now


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    comparison = Comparison("Loading", "s", ("stock", "ours"), (("Q4_0", (None, 1.5)),), drawn=True)
    found = run_now("startup", "Starting", [Figure("import", 0.1, "s", 0.15)], [comparison], x="y")
    path = tmp_path / "new" / "startup.json"
    found.save(path)
    assert Measured.load(path) == found
    assert found.machine["x"] == "y"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": [1], "comparisons": []}'])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json"):
        Measured.load(path)


@pytest.mark.parametrize(
    ("value", "at_most", "met"), [(1.0, None, None), (1.5, 1.5, True), (1.51, 1.5, False)]
)
def test_a_target_is_met_up_to_its_value(value: float, at_most: float | None, met: object) -> None:
    assert Figure("step", value, "s", at_most).met is met


def test_a_row_must_have_a_number_for_each_series() -> None:
    with pytest.raises(ValueError, match="Loading, Q4_0: 1 for 2"):
        Comparison("Loading", "s", ("stock", "ours"), (("Q4_0", (1.0,)),))
