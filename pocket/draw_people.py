"""Draw people whom no network was trained on, to measure the model with.

    python -m pocket.draw_people 64 people/

writes one portrait of each, any pose and light, for `pulid-sdcpp evaluate --pocket people/*.png`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .dataset import people_of
from .portraits import draw_portrait, sample_scene

__all__ = ["draw_people", "main"]

SEED = 9_500_000
SIDE_PX = 384
POSE = 0.8
"""Of the range that the recognisers know: their edge is for training."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    draw_people(options.folder, options.count, options.seed)


def draw_people(folder: Path, count: int, seed: int = SEED) -> list[Path]:
    """Write `person-000.png` and so on, (384, 384), and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, person in enumerate(people_of(seed, count)):
        scene = sample_scene(np.random.default_rng([seed, 2, index]), pose=POSE, style=0)
        files.append(folder / f"person-{index:03d}.png")
        Image.fromarray(draw_portrait(person, scene, SIDE_PX).pixels).save(files[-1])
    return files


if __name__ == "__main__":
    main()
