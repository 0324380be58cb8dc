"""The curves of a training, drawn: python -m pocket.curves build/pocket pocket/curves.png"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pulid_sdcpp.pictures.chart import Panel, draw_panels

__all__ = ["draw_curves"]

CURVES = (
    ("Flux, first part: velocity error", "flux", "loss"),
    ("Flux, second part: velocity error", "tuning", "loss"),
    ("Autoencoder: error of pixels and edges", "decoder", "loss"),
    ("IDFormer: error of tokens", "idformer", "loss"),
    ("Recogniser: loss", "recogniser", "loss"),
    ("Judge: loss", "judge", "loss"),
)
COLUMNS = 2
POINTS = 60


def draw_curves(folder: Path, picture: Path) -> None:
    """One panel for each training in `folder`, over minutes, on a scale from zero."""
    panels = []
    for title, name, figure in CURVES:
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [entry for entry in map(json.loads, lines) if figure in entry]
        entries = entries[:: max(1, len(entries) // POINTS)]
        values = [entry[figure] for entry in entries]
        # The first values are so high that nothing else could be seen beside them: left out.
        top = sorted(values)[int(0.9 * (len(values) - 1))] * 1.5
        shown = [value if value <= top else None for value in values]
        labels = [f"{entry['minutes']:.0f}" for entry in entries]
        panels.append(Panel(title, labels, {figure: shown}, x_title="minutes"))
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    draw_panels(rows).save(picture, optimize=True)


if __name__ == "__main__":
    draw_curves(Path(sys.argv[1]), Path(sys.argv[2]))
