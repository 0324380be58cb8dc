"""docs/quick-start.md: its table of computers is the planner's, its figures are measured ones."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from pulid_sdcpp.store.registry import load_registry

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import generate_computers_table as generator  # noqa: E402

sys.path.remove(str(ROOT / "docs"))
PAGE = generator.OUTPUT.read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    table = PAGE.partition("<!-- computers -->")[2].partition("<!-- end -->")[0]
    lines = [line.strip("|").split("|") for line in table.strip().splitlines()[2:]]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}


def test_the_table_is_current() -> None:
    assert generator.render(PAGE) == PAGE, "run: python docs/generate_computers_table.py"


def test_it_has_every_kind_of_computer() -> None:
    cards = [f"a card of {gib} GB" for gib in (4, 6, 8, 10, 12, 16, 24)]
    macs = [f"a Mac of {gib} GB" for gib in (8, 16, 24, 32)]
    assert list(rows()) == [*cards, *macs, "no card, 512 x 512"]
    presets = load_registry().presets
    for name, cells in rows().items():
        for cell in cells[:2]:
            assert cell.strip("`") in presets or cell == "none fits", name
    assert rows()["a Mac of 8 GB"][:2] == ["none fits", "none fits"]
    assert "On a computer with 8 GB and no card, no Flux preset fits" in PAGE


def test_every_word_of_the_table_is_explained() -> None:
    text = " ".join(PAGE.partition("<!-- end -->")[2].split())
    places = {place for cells in rows().values() for place in cells[2].split("; ") if place}
    for place in places - {"all on the card", "on the CPU"}:
        assert f'"{place[0].upper()}{place[1:]}"' in text or f'"{place}"' in text, place


def test_the_time_on_a_cpu_is_computed_from_what_was_measured() -> None:
    path = ROOT / "benchmarks" / "results" / "generation-1-denoising.json"
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    walls = text.partition("### A denoising step, wall time")[2].partition("###")[0]
    measured = re.search(r"Q4_K, 256x256 \| [\d.]+ \| ([\d.]+) \|", walls)
    assert measured is not None
    assert "2 + 4 blocks" in text or "2 + 4" in json.dumps(json.loads(path.read_text()))
    step = generator.cpu_step_s(float(measured[1]), double=2, single=4, side=256, wanted=512)
    assert f"about {step:.0f} s for a step at 512 x 512" in " ".join(PAGE.split())
    assert f"so {round(4 * step, -1):.0f} s for the four steps" in " ".join(PAGE.split())


def test_where_the_source_is_stands_once() -> None:
    address = re.search(r'Repository = "(.+?)"', (ROOT / "pyproject.toml").read_text())
    assert address is not None
    assert f"git clone {address[1]}\n" in PAGE
    assert f"<{address[1]}>" in (ROOT / "README.md").read_text(encoding="utf-8")
