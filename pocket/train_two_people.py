"""Train the LoRA for two people for a pack that is there, and put it in.

    python -m pocket.train_two_people --folder build/pocket --minutes 30 \
        --pack pulid_sdcpp/pocket/model

The pack's Flux stays as it is. The folder is that of the whole training, of which the networks up
to the IDFormer are needed. It can be stopped at any moment and started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from pulid_sdcpp.pocket.pack import write_manifest
from pulid_sdcpp.tensors.tensor_file import TensorFile

from . import stages, train_flux
from .flux import Flux
from .two_people import export_two_people, train_two_people

__all__ = ["main", "shipped_flux"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/pocket"))
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, in all")
    parser.add_argument("--threads", type=int, help="of torch; not given: all cores")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--pack", type=Path, default=Path("pulid_sdcpp/pocket/model"))
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    flux = shipped_flux(options.pack)
    pairs = stages.pair_sets(options.folder)
    train_two_people(options.folder, 60 * options.minutes, flux, *pairs, options.device)
    export_two_people(options.folder, options.pack)
    write_manifest(options.pack)


def shipped_flux(pack: Path) -> Flux:
    """The Flux of a pack, as its files round it."""
    flux = Flux(train_flux.CONFIG)
    names = {"txt_in_bias": "txt_in.bias"}
    state = {}
    with (
        TensorFile(pack / "flux1-schnell-pocket.gguf") as model,
        TensorFile(pack / "pulid_flux_v0.9.1.safetensors") as pulid,
    ):
        for name in flux.state_dict():
            file = pulid if name.startswith("pulid_ca.") else model
            state[name] = torch.from_numpy(file.read(names.get(name, name)))
    flux.load_state_dict(state)
    return flux.eval()


if __name__ == "__main__":
    main()
