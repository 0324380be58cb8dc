"""The training loop: it learns, stops in time, and goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pocket import loop
from pocket.loop import load_averaged, train
from pocket.resuming import seed_training

TRUTH = torch.tensor([[2.0, -3.0]])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a second later: no step takes real time."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(ticks)))


def fit(folder: Path, budget_s: float) -> nn.Linear:
    seed_training(folder, "line", 0)
    line = nn.Linear(2, 1, bias=False)

    def loss() -> torch.Tensor:
        x = torch.randn(16, 2)
        return (line(x) - x @ TRUTH.T).square().mean()

    train("line", folder, budget_s, {"line": line}, loss, rate=0.1)
    return line


def entries(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "line.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("clock")
def test_it_learns_within_its_budget(tmp_path: Path) -> None:
    line = fit(tmp_path, 400)
    assert torch.allclose(line.weight, TRUTH, atol=0.05)
    saved = torch.load(tmp_path / "line.ckpt", weights_only=True)
    assert saved["spent_s"] == pytest.approx(400, abs=2)
    losses = [entry["loss"] for entry in entries(tmp_path)]
    assert losses[-1] < losses[0] / 10


@pytest.mark.usefixtures("clock")
def test_a_spent_budget_is_not_spent_again_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    first = fit(tmp_path, 100)
    steps = torch.load(tmp_path / "line.ckpt", weights_only=True)["step"]
    again = fit(tmp_path, 100)
    assert torch.equal(first.weight, again.weight)
    assert torch.load(tmp_path / "line.ckpt", weights_only=True)["step"] == steps
    fit(tmp_path, 200)
    assert torch.load(tmp_path / "line.ckpt", weights_only=True)["step"] > steps


@pytest.mark.usefixtures("clock")
def test_the_averaged_weights_are_found_in_the_checkpoint(tmp_path: Path) -> None:
    line = fit(tmp_path, 150)
    other = nn.Linear(2, 1, bias=False)
    load_averaged(tmp_path, "line", {"line": other})
    assert torch.equal(line.weight, other.weight)
