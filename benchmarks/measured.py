"""What a benchmark found: the form in which scripts hand it on, and its file."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine, load_average

__all__ = ["Comparison", "Figure", "Measured", "run_now"]


@dataclass(frozen=True)
class Figure:
    """One number, and what it should be at most.

    Attributes:
        what: What was measured, in words.
        unit: "ratio", "s", "MB", "%", or what is counted.
        at_most: The target; None where there is none.
        note: How it was measured, or how far it varied.
    """

    what: str
    value: float
    unit: str
    at_most: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(frozen=True)
class Comparison:
    """The same numbers of several programs or settings, side by side.

    Attributes:
        series: What is compared, such as ("stock", "pulid-sdcpp").
        rows: (label, a number for each of `series`; None where there is none).
        drawn: Whether it becomes part of the picture.
        ratio: Whether the second of two by the first says something.
    """

    title: str
    unit: str
    series: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    note: str = ""
    drawn: bool = False
    ratio: bool = True

    def __post_init__(self) -> None:
        for label, numbers in self.rows:
            if len(numbers) != len(self.series):
                raise ValueError(f"{self.title}, {label}: {len(numbers)} for {len(self.series)}")


@dataclass(frozen=True)
class Measured:
    """All that one run of one benchmark found.

    Attributes:
        benchmark: The script's name.
        title: A heading for people.
        date: Year, month, day, hour and minute.
        machine: Words by what they describe.
    """

    benchmark: str
    title: str
    command: str
    date: str
    machine: dict[str, str]
    figures: tuple[Figure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Read what `save` wrote.

        Raises:
            ValueError: The file is something else.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            figures = tuple(Figure(**figure) for figure in found.pop("figures"))
            comparisons = tuple(_comparison(one) for one in found.pop("comparisons"))
            return cls(**found, figures=figures, comparisons=comparisons)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not what a benchmark writes ({error!r})") from error


def run_now(
    benchmark: str,
    title: str,
    figures: Sequence[Figure],
    comparisons: Sequence[Comparison],
    **machine: str,
) -> Measured:
    """What was found just now, on this machine, by this command.

    Args:
        machine: More words about it, by what they describe.
    """
    command = shlex.join(["python", f"benchmarks/{benchmark}.py", *sys.argv[1:]])
    described = {**describe_machine(), **machine}
    if load := load_average():
        described["load average at the end"] = load
    return Measured(
        benchmark,
        title,
        command,
        time.strftime("%Y-%m-%d %H:%M"),
        described,
        tuple(figures),
        tuple(comparisons),
    )


def _comparison(found: dict[str, Any]) -> Comparison:
    rows = tuple((label, tuple(numbers)) for label, numbers in found.pop("rows"))
    return Comparison(**{**found, "series": tuple(found["series"])}, rows=rows)
