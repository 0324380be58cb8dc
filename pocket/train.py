"""Train the whole pocket model and write the pack, in one command.

    python -m pocket.train --folder build/pocket --minutes 240 --pack pulid_sdcpp/pocket/model

It can be stopped at any moment and started again: every network goes on where it was. A network
whose share of the time is spent is not trained again; more minutes train all of them on.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from . import stages

__all__ = ["main"]

SHARES: dict[str, tuple[float, Callable[..., object]]] = {
    "decoder": (0.12, stages.decoder),
    "text encoder": (0.01, stages.text_encoder),
    "recogniser": (0.04, stages.recogniser),
    "judge": (0.03, stages.judge),
    "detector": (0.02, stages.detector),
    "attribute reader": (0.02, stages.attribute_reader),
    "parser": (0.02, stages.parser),
    "tower": (0.03, stages.tower),
    "flux": (0.26, stages.flux),
    "idformer": (0.05, stages.idformer),
    "tuning": (0.36, stages.tuning),
    "two people": (0.04, stages.two_people),
}
"""Share of the time, and how; in an order in which every stage finds what it needs."""

LARGE = ("decoder", "flux", "tuning", "two people")
"""What takes most of the time, and may be trained on a graphics card."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/pocket"))
    parser.add_argument("--minutes", type=float, default=240.0, help="of training, in all")
    parser.add_argument("--threads", type=int, help="of torch; not given: all cores")
    parser.add_argument("--device", default="cpu", help="for the large networks: cpu, cuda, ...")
    parser.add_argument("--only", action="append", choices=SHARES, help="this stage; repeatable")
    parser.add_argument("--pack", type=Path, help="write the pack into this folder at the end")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if options.threads:
        torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, (share, stage) in SHARES.items():
        if options.only and name not in options.only:
            continue
        budget_s = 60 * options.minutes * share
        logging.info("%s: %.0f minutes in all", name, budget_s / 60)
        where = {"device": options.device} if name in LARGE else {}
        stage(options.folder, budget_s, **where)
    if options.pack is not None:
        from .pack import write_pack

        write_pack(options.folder, options.pack)


if __name__ == "__main__":
    main()
