"""Which presets fit which computer, and which of them is recommended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pulid_sdcpp import Device
from pulid_sdcpp.planning.preset_fit import Computer, PresetFit, preset_fits, recommend
from pulid_sdcpp.store.model_store import ModelStore
from pulid_sdcpp.system.system_memory import ComputerMemory

GIB = 1 << 30
CPU = Device("CPU", "a processor", "cpu", 16 * GIB, 16 * GIB)
MUCH = ComputerMemory(64 * GIB, 60 * GIB)


def card(gib: int) -> Device:
    return Device("CUDA0", "a card", "gpu", gib * GIB, gib * GIB)


def apple(ram_gib: int) -> Computer:
    """As Metal reports it: three quarters of the memory."""
    free = ram_gib * GIB * 3 // 4
    device = Device("MTL0", "Apple M2", "gpu", free, free)
    return Computer([device, CPU], ram=ComputerMemory(ram_gib * GIB, ram_gib * GIB * 7 // 8))


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


def fit_of(store: ModelStore, computer: Computer, preset: str) -> PresetFit:
    return next(fit for fit in preset_fits(store, computer) if fit.preset == preset)


@pytest.mark.parametrize(
    ("computer", "preset", "verdict"),
    [
        # Flux where it fits a card, SDXL where only that does, and on CPUs.
        (Computer([card(24), CPU], ram=MUCH), "flux-schnell-q8", "fits"),
        (Computer([card(16), CPU], ram=MUCH), "flux-schnell-q8", "fits"),
        (Computer([card(8), CPU], ram=MUCH), "flux-schnell-q4", "fits"),
        (Computer([card(6), CPU], ram=MUCH), "sdxl-lightning", "fits"),
        (Computer([card(4), CPU], ram=MUCH), "sdxl-lightning-q8", "fits"),
        (Computer([CPU], vram=4.0), "sdxl-lightning-q8", "fits"),
        (Computer([card(2), CPU], ram=MUCH), "sdxl-lightning-q4", "in segments"),
        (Computer([CPU], ram=MUCH), "sdxl-lightning-q4", "fits"),
        (Computer([CPU], ram=ComputerMemory(8 * GIB, 7 * GIB)), "sdxl-lightning-q4", "fits"),
        (apple(8), "sdxl-lightning-q8", "fits"),
        (apple(16), "flux-schnell-q4", "fits"),
        (apple(36), "flux-schnell-q8", "fits"),
        # Nothing large has room: the pocket model has.
        (Computer([CPU], ram=ComputerMemory(2 * GIB, 2 * GIB)), "pocket", "fits"),
        (apple(2), "pocket", "fits"),
        (Computer([card(8), CPU], ram=MUCH, disk_free_bytes=10**9), "pocket", "fits"),
    ],
)
def test_the_recommended_preset(
    store: ModelStore, computer: Computer, preset: str, verdict: str
) -> None:
    chosen = recommend(preset_fits(store, computer))
    assert chosen is not None
    fit, why = chosen
    assert (fit.preset, fit.verdict) == (preset, verdict)
    assert why


def test_a_preset_of_sdxl_is_planned_and_described(store: ModelStore) -> None:
    fit = fit_of(store, Computer([card(8), CPU], ram=MUCH), "sdxl-juggernaut")
    assert fit.non_commercial
    assert fit.family == "sdxl"
    assert fit.weights_bytes == 7_105_348_188
    assert fit.plan is not None
    assert (fit.plan.width, fit.plan.height, fit.plan.people) == (896, 1152, 1)
    assert [phase.name for phase in fit.plan.phases] == ["prompt", "denoise", "decode"]
    assert not fit_of(store, Computer([card(8)]), "sdxl-lightning").non_commercial


def test_what_does_not_fit_says_why(store: ModelStore) -> None:
    small = Computer([CPU], ram=ComputerMemory(8 * GIB, 7 * GIB))
    assert fit_of(store, small, "flux-dev-q8").problem == (
        "it needs 22.67 GiB of RAM, and this computer has 8.0 GiB"
    )
    full = Computer([CPU], ram=MUCH, disk_free_bytes=10**10)
    assert fit_of(store, full, "flux-schnell-q4").problem == (
        "12.6 GB to download, 10.0 GB free on the disk"
    )
    assert "of MTL0" in fit_of(store, apple(8), "flux-schnell-q8").problem or (
        "MTL0 shares" in fit_of(store, apple(8), "flux-schnell-q8").problem
    )


def test_tiles_are_tried_on_a_cpu(store: ModelStore) -> None:
    fit = fit_of(store, Computer([CPU], ram=ComputerMemory(14 * GIB, 9 * GIB)), "flux-schnell-q4")
    assert fit.plan is not None
    assert fit.plan.flags == ("--vae-tiling",)
    assert fit.needs_free_memory  # it fits when other programs are closed


def test_a_smaller_picture_can_be_asked_for(store: ModelStore) -> None:
    computer = Computer([CPU], ram=MUCH)
    whole, part = (
        next(iter(preset_fits(store, computer, given)))
        for given in ({}, {"width": 512, "height": 512})
    )
    assert whole.plan is not None
    assert part.plan is not None
    assert part.plan.width == 512
    assert part.plan.host_peak_bytes < whole.plan.host_peak_bytes - 4 * GIB


def test_what_is_here_goes_before_what_is_as_good() -> None:
    there = PresetFit("there", "", 4, 100, 0, "fits", weights_bytes=50)
    absent = replace(there, preset="absent", missing_bytes=100)
    slow = replace(there, preset="slow", steps=20)
    moved = replace(there, preset="moved", verdict="offloaded")
    chosen = recommend([moved, slow, absent, there])
    assert chosen is not None
    assert chosen[0] is there
    assert recommend([]) is None


def test_a_preset_whose_files_nobody_knows_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[files.mine]\nrole = "diffusion_model"\nrepository = "me/mine"\npath = "mine.gguf"\n'
        '[presets.mine]\nbase = "flux-schnell-q4"\nfiles.diffusion_model = "mine"\n'
    )
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path))
    fit = fit_of(ModelStore(), Computer([CPU], ram=MUCH), "mine")
    assert fit.verdict == "unknown"
    assert "does not say of which type it is" in fit.problem
