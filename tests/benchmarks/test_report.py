from __future__ import annotations

import pytest

from measured import Comparison, Figure, Measured
from pulid_sdcpp.pictures.chart import COLORS
from report import as_text, draw, number, panel_of, results_page

STEP = Comparison(
    "A step", "s", ("stock", "ours"), (("Q4_0", (8.0, 2.0)), ("F16", (None, 4.0))), "Two turns."
)
FOUND = Measured(
    "generation",
    "Making pictures",
    "python benchmarks/generation.py",
    "2026-01-31 12:00",
    {"processor": "a fast one"},
    (Figure("step against stock", 0.25, "ratio", 0.38), Figure("memory", 7.0, "MB", 6.4),
     Figure("modules", 3, "modules", note="numpy")),
    (STEP,),
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (0.0, "0.000"), (12, "12"), (0.00012, "1.2e-04"), (0.3849, "0.385"),
     (8.049, "8.05"), (46.91, "46.9"), (2830.4, "2,830"), (-2.5, "-2.50")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_two_series_get_a_ratio_and_what_is_missing_a_dash() -> None:
    text = as_text(FOUND)
    assert "| s | stock | ours | ratio |\n| --- | --- | --- | --- |\n" in text
    assert "| Q4_0 | 8.00 | 2.00 | 0.250 |\n| F16 | - | 4.00 | - |\n\nTwo turns.\n" in text


def test_a_ratio_that_says_nothing_is_left_out() -> None:
    clocks = Comparison("Start", "s", ("wall", "CPU"), (("import", (0.2, 0.1)),), ratio=False)
    text = as_text(Measured("startup", "Starting", "", "", {}, (), (clocks,)))
    assert "| s | wall | CPU |\n| --- | --- | --- |\n| import | 0.200 | 0.100 |\n" in text


def test_the_page_says_what_where_when_and_which_targets_are_met() -> None:
    page = results_page([FOUND])
    for part in (
        "`python benchmarks/generation.py`, 2026-01-31 12:00",
        "- processor: a fast one",
        "## Making pictures",
        "| step against stock | 0.250 | 0.380 | yes |",
        "| memory | 7.00 MB | 6.40 | **no** |",
        "| modules | 3 modules | numpy |",
    ):
        assert part in page
    targets = page[: page.index("## Making pictures")]
    assert "modules" not in targets


def test_the_bars_are_as_long_as_the_numbers() -> None:
    picture = draw([STEP])
    heights = {}
    for color in COLORS[:2]:
        wanted = tuple(bytes.fromhex(color[1:]))
        columns = []
        for x in range(picture.width):
            column = sum(picture.getpixel((x, y)) == wanted for y in range(90, picture.height))
            if column and (not columns or columns[-1] != column):
                columns.append(column)
        heights[color] = columns
    stock, ours = (heights[color] for color in COLORS[:2])
    assert len(stock) == 1
    assert len(ours) == 2
    # Each bar is rounded to a pixel and includes its last one.
    assert ours[0] == pytest.approx(stock[0] / 4, abs=2)
    assert ours[1] == pytest.approx(stock[0] / 2, abs=2)


def test_a_panel_says_its_unit_and_has_the_numbers_at_its_bars() -> None:
    panel = panel_of(Comparison("a", "s", ("b", "c"), (("x", (2.64, None)),)))
    assert (panel.title, panel.bars, panel.numbers) == ("a (s)", True, True)
    assert panel.series == {"b": (2.64,), "c": (None,)}


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw([])
