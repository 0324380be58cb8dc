"""One training loop for every network: a time budget, an average of the weights, and resuming."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

__all__ = ["load_averaged", "train"]

SAVE_EVERY_S = 120.0
LOG_EVERY_S = 30.0
WARMUP_STEPS = 60
EMA_EVERY = 4


def train(
    name: str,
    folder: Path,
    budget_s: float,
    networks: Mapping[str, nn.Module],
    loss: Callable[[], torch.Tensor],
    *,
    rate: float,
    decay_share: float = 0.6,
    weight_decay: float = 0.01,
    momenta: tuple[float, float] = (0.9, 0.97),
    ema: float = 0.998,
    clip: float = 1.0,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    measure: Callable[[], Mapping[str, float]] | None = None,
    measure_every_s: float = 180.0,
) -> None:
    """Train until `budget_s` seconds of training are spent, all runs of this folder together.

    A checkpoint `NAME.ckpt` in `folder` is written every two minutes; a run that finds one goes on
    from there. A larger budget than last time trains on. The rate falls linearly to zero over
    the last `decay_share` of the budget. At the end the networks hold the averaged weights.

    Args:
        networks: By name, on one device; all their parameters that can be are trained.
        loss: Makes one batch's loss. Draws its randomness from torch's default generator.
        rate: The learning rate's peak.
        ema: The average keeps this share of itself every step.
        optimizer: Makes another than AdamW, of all parameters; the rate of each of its groups is
            times the group's "factor", if it has one.
        measure: Figures of the averaged weights for the log, `NAME.jsonl`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / f"{name}.ckpt", folder / f"{name}.jsonl"
    parameters = [
        p for network in networks.values() for p in network.parameters() if p.requires_grad
    ]
    if optimizer is None:
        moved: torch.optim.Optimizer = torch.optim.AdamW(
            parameters, lr=rate, betas=momenta, weight_decay=weight_decay, fused=True
        )
    else:
        moved = optimizer(parameters)
    averaged = [p.detach().clone() for p in parameters]
    step, spent_s = 0, 0.0
    if file.exists():
        saved = torch.load(file, weights_only=True, map_location=parameters[0].device)
        for key, network in networks.items():
            network.load_state_dict(saved["networks"][key])
        moved.load_state_dict(saved["optimizer"])
        averaged = saved["averaged"]
        step, spent_s = saved["step"], saved["spent_s"]

    def save() -> None:
        state = {
            "networks": {key: network.state_dict() for key, network in networks.items()},
            "optimizer": moved.state_dict(),
            "averaged": averaged,
            "step": step,
            "spent_s": spent_s,
        }
        part = file.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, file)

    losses: list[float] = []
    began, last_save, last_log, last_measure = (time.monotonic(),) * 4
    before_s = spent_s
    while spent_s < budget_s:
        left = 1 - spent_s / budget_s
        share = min(1, (step + 1) / WARMUP_STEPS) * min(1, left / decay_share)
        for group in moved.param_groups:
            group["lr"] = rate * share * group.get("factor", 1.0)
        value = loss()
        moved.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        moved.step()
        step += 1
        losses.append(value.item())
        if step % EMA_EVERY == 0:
            kept = min(ema, step / (step + 10)) ** EMA_EVERY
            torch._foreach_lerp_(averaged, [p.detach() for p in parameters], 1 - kept)
        now = time.monotonic()
        spent_s = before_s + now - began
        if now - last_log > LOG_EVERY_S:
            entry = {"minutes": spent_s / 60, "step": step, "loss": sum(losses) / len(losses)}
            if measure is not None and now - last_measure > measure_every_s:
                with _swapped(parameters, averaged):
                    entry |= measure()
                last_measure = now
            with log.open("a", encoding="utf-8") as out:
                out.write(json.dumps({k: round(v, 5) for k, v in entry.items()}) + "\n")
            losses.clear()
            last_log = now
        if now - last_save > SAVE_EVERY_S:
            save()
            last_save = now
    save()
    with torch.no_grad():
        for parameter, mean in zip(parameters, averaged, strict=True):
            parameter.copy_(mean)
    if measure is not None:
        with log.open("a", encoding="utf-8") as out:
            final = {"minutes": spent_s / 60, "step": step, **measure()}
            out.write(json.dumps({k: round(v, 5) for k, v in final.items()}) + "\n")


def load_averaged(folder: Path, name: str, networks: Mapping[str, nn.Module]) -> None:
    """The averaged weights of a training, in networks like those that were trained."""
    file = folder / f"{name}.ckpt"
    averaged = torch.load(file, weights_only=True, map_location="cpu")["averaged"]
    parameters = [p for network in networks.values() for p in network.parameters()]
    with torch.no_grad():
        for parameter, mean in zip(parameters, averaged, strict=True):
            parameter.copy_(mean)


class _swapped:
    """The averaged weights in place of the trained ones, for a while."""

    def __init__(self, parameters: Iterable[nn.Parameter], averaged: list[torch.Tensor]) -> None:
        self._parameters, self._averaged = list(parameters), averaged

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *reason: object) -> None:
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, mean in zip(self._parameters, self._averaged, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(kept)
