"""Tables and a picture of what the benchmarks found.

    python benchmarks/report.py

Reads the files that the other scripts wrote with --json to benchmarks/results/, and writes
benchmarks/RESULTS.md and benchmarks/results.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from measured import Comparison, Figure, Measured
from pulid_sdcpp.pictures.chart import Panel, draw_panels

__all__ = ["as_text", "draw", "number", "panel_of", "results_page"]

FOLDER = Path(__file__).parent
PICTURE_NAME = "results.png"
COLUMNS = 2
"""Of panels, in the picture."""
INTRODUCTION = f"""\
# Results

Measured, not promised: what, on which machine, with which command and when is beside every
table; anyone can run the same. Made by `python benchmarks/report.py` from `benchmarks/results/`.

![The bars of the tables below]({PICTURE_NAME})
"""


def results_page(found: Sequence[Measured]) -> str:
    """All of RESULTS.md.

    Args:
        found: One or more benchmarks, in the order in which they are to appear.
    """
    aims = [figure for measured in found for figure in measured.figures if figure.met is not None]
    parts = [INTRODUCTION]
    if aims:
        parts += ["## Against the targets\n", _aims_table(aims)]
    for measured in found:
        parts += [f"## {measured.title}\n", as_text(measured)]
    return "\n".join(parts)


def as_text(measured: Measured) -> str:
    """One benchmark in Markdown, without a heading: machine, tables, figures."""
    machine = [f"- {what}: {words}" for what, words in measured.machine.items()]
    parts = ["\n".join([f"`{measured.command}`, {measured.date}", "", *machine, ""])]
    for comparison in measured.comparisons:
        parts += [f"### {comparison.title}\n", _comparison_table(comparison)]
        if comparison.note:
            parts.append(f"{comparison.note}\n")
    if measured.figures:
        rows = [(figure.what, _with_unit(figure), figure.note) for figure in measured.figures]
        parts += ["### Figures\n", _table(("what", "measured", "how"), rows)]
    return "\n".join(parts)


def number(value: float | None) -> str:
    """With three digits that mean something, counts as they are; "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    size = abs(value)
    if size and size < 0.001:
        return f"{value:.1e}"
    for limit, digits in ((1, 3), (10, 2), (100, 1)):
        if size < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def draw(comparisons: Sequence[Comparison]) -> Image.Image:
    """One panel of bars per comparison, two side by side; bars of a panel share a scale from 0.

    Raises:
        ValueError: Nothing to draw.
    """
    panels = [panel_of(comparison) for comparison in comparisons]
    return draw_panels([panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)])


def panel_of(comparison: Comparison) -> Panel:
    """Its bars, with their numbers."""
    labels, rows = zip(*comparison.rows, strict=True)
    series = dict(zip(comparison.series, zip(*rows, strict=True), strict=True))
    title = f"{comparison.title} ({comparison.unit})"
    return Panel(title, labels, series, bars=True, numbers=True)


def _aims_table(figures: Iterable[Figure]) -> str:
    rows = [
        (figure.what, _with_unit(figure), number(figure.at_most), "yes" if figure.met else "**no**")
        for figure in figures
    ]
    return _table(("what", "measured", "at most", "met"), rows)


def _comparison_table(comparison: Comparison) -> str:
    """With a column for the ratio where two are compared."""
    has_ratio = comparison.ratio and len(comparison.series) == 2
    heading = (comparison.unit, *comparison.series, *(["ratio"] if has_ratio else []))
    rows = []
    for label, numbers in comparison.rows:
        cells = [label, *map(number, numbers)]
        if has_ratio:
            first, second = numbers
            cells.append(number(second / first if first and second is not None else None))
        rows.append(cells)
    return _table(heading, rows)


def _with_unit(figure: Figure) -> str:
    unit = "" if figure.unit == "ratio" else f" {figure.unit}"
    return number(figure.value) + unit


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument(
        "files", type=Path, nargs="*", help="not given: all in benchmarks/results/"
    )
    arguments.add_argument("--output", type=Path, default=FOLDER / "RESULTS.md")
    options = arguments.parse_args()
    files = options.files or sorted((FOLDER / "results").glob("*.json"))
    if not files:
        arguments.error("nothing to report: run a benchmark with --json benchmarks/results/...")
    found = [Measured.load(path) for path in files]
    options.output.write_text(results_page(found), encoding="utf-8")
    drawn = [one for measured in found for one in measured.comparisons if one.drawn]
    draw(drawn).save(options.output.with_name(PICTURE_NAME))
    print(f"wrote {options.output} and {PICTURE_NAME}")


if __name__ == "__main__":
    main()
