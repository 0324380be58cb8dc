"""Train the pocket SDXL, for the networks of a pack that is there, and write its file.

    python -m pocket.train_sdxl --folder build/pocket-sdxl --minutes 60

can be stopped at any moment and started again. `--minutes` are those of the UNet.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pulid_sdcpp.pocket.pack import PACK_FOLDER, pocket_files, write_manifest

from .sdxl_data import make_pictures
from .sdxl_decoder import load_first_layers, train_first_layers
from .sdxl_export import FILE, write_sdxl
from .sdxl_text import TextCodes
from .sdxl_training import load_unet, train_unet

__all__ = ["main"]

DECODER_SHARE = 0.1
"""Of the time of the UNet."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--people", type=int, default=6000, help="a multiple of 200")
    parser.add_argument("--pack", type=Path, default=PACK_FOLDER)
    options = parser.parse_args(arguments)
    files = pocket_files(options.pack)
    data = make_pictures(options.folder, files, options.people)
    budget_s = 60 * options.minutes
    latents = data.latents.flatten(0, 1)
    train_first_layers(options.folder, DECODER_SHARE * budget_s, files.taesd, latents)
    train_unet(options.folder, budget_s, data, TextCodes(options.pack / "text_encoder.safetensors"))
    write_sdxl(options.pack / FILE, load_unet(options.folder), load_first_layers(options.folder))
    write_manifest(options.pack)


if __name__ == "__main__":
    main()
