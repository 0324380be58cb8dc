"""Chance in a training that may be stopped and go on: a resumed run must not repeat the first."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["seed_training"]


def seed_training(folder: Path, name: str, seed: int) -> int:
    """Seed torch's default generator by the steps that `NAME.ckpt` has behind it.

    Returns:
        Those steps; 0 without a checkpoint.
    """
    file = folder / f"{name}.ckpt"
    step = int(torch.load(file, weights_only=True, mmap=True)["step"]) if file.exists() else 0
    torch.manual_seed(seed * 1_000_003 + step)
    return step
