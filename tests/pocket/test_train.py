"""The one command: every stage in an order that works, each with its share of the time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pocket import loop, train, train_flux
from pocket.dataset import LatentSet
from pocket.flux import FluxConfig
from pocket.portraits.people import IDENTITY_DIM
from pocket.teacher import ID_DIM, ID_TOKENS

TINY = FluxConfig(hidden=128, depth=1, depth_single=1, grid=8, id_dim=ID_DIM, id_heads=1)


def latents(people: int, *, tokens: bool = False) -> LatentSet:
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(people, 2, ID_TOKENS, ID_DIM, generator=generator)
    return LatentSet(
        latents=torch.randn(people, 2, 16, 16, 16, generator=generator).half(),
        scenes=torch.randint(3, (people, 2, 4), generator=generator).byte(),
        people=torch.randn(people, IDENTITY_DIM, generator=generator),
        tokens=seen.half() if tokens else None,
    )


def test_shares_are_the_whole_time() -> None:
    assert sum(share for share, _ in train.SHARES.values()) == pytest.approx(1.0)


def test_every_stage_gets_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name, (share, _) in list(train.SHARES.items()):

        def stage(folder: Path, budget_s: float, device: str = "none", name: str = name) -> None:
            calls.append((name, budget_s, device))

        monkeypatch.setitem(train.SHARES, name, (share, stage))
    train.main(["--folder", str(tmp_path), "--minutes", "100", "--device", "cpu"])
    assert [name for name, _, _ in calls] == list(train.SHARES)
    assert sum(budget_s for _, budget_s, _ in calls) == pytest.approx(6000)
    assert {name for name, _, device in calls if device == "cpu"} == set(train.LARGE)


def test_flux_is_trained_in_two_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EMA_EVERY", 1)  # else a few steps leave no trace
    monkeypatch.setattr(train_flux, "CONFIG", TINY)
    monkeypatch.setattr(train_flux, "BATCH", 4)
    monkeypatch.setattr(train_flux, "MEASURED", 4)
    data = latents(6)
    flux, teacher = train_flux.train_flux(tmp_path, 1.0, data, data)
    tuned = train_flux.tune_flux(tmp_path, 1.0, data, latents(6, tokens=True), data)
    assert not torch.equal(flux.img_in.weight, tuned.img_in.weight)
    kept = torch.load(tmp_path / "teacher.pt", weights_only=True)
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())
    loaded = train_flux.load_flux(tmp_path)
    assert torch.equal(loaded.img_in.weight, tuned.img_in.weight)
