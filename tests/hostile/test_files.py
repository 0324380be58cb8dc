"""2,200 damaged files over all roles: refused by one line, or right; never a picture of nobody."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from command_worker import CommandWorker, Outcome

from . import SEED, count
from .findings import limit_s, wrong_end, wrong_picture
from .mutations import mutated_file
from .roles import Role, Roles

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.slow]

NAMES = (
    "flux.gguf", "flux.safetensors", "clip_l.gguf", "taesd.safetensors", "pulid.safetensors",
    "identity.pulidembd", "lora.safetensors", "vae.safetensors", "upscaler.safetensors",
    "controlnet.safetensors", "recogniser.onnx", "detector.onnx", "parsing.safetensors",
    "eva.safetensors", "sdxl.gguf", "sdxl-checkpoint.gguf", "clip_g.gguf", "pulid_v1.safetensors",
    "pulid_v1.1.safetensors",
)  # fmt: skip
_WORTHLESS = ("data_of_zeros", "data_of_infinities")


def nobody_of(role: Role, worker: CommandWorker, roles: Roles) -> bytes:
    """The picture that is made where nobody is asked for."""
    out = roles.folder / "nobody.png"
    task = role.nobody(out) if role.nobody else roles.command(out, person=False)
    outcome = worker.run(task)
    assert outcome.status == 0, outcome.stderr
    with Image.open(out) as image:
        return image.convert("RGB").tobytes()


def ended(worker: CommandWorker, role: Role, file: Path, result: Path) -> Outcome:
    result.unlink(missing_ok=True)
    return worker.run(role.task(file, result), limit_s())


@pytest.mark.parametrize("name", NAMES)
def test_damaged(name: str, worker: CommandWorker, roles: Roles) -> None:
    role = roles.all[name]
    result = roles.folder / f"result{role.result}"
    whose = nobody_of(role, worker, roles) if role.somebody else None

    valid = ended(worker, role, role.valid, result)
    if role.refused:
        assert role.refused in valid.stderr
    else:
        assert valid.status == 0, valid.stderr
        assert role.result != ".png" or wrong_picture(result, whose) == ""

    data = role.valid.read_bytes()
    file = roles.folder / name
    findings = []
    for number in range(count(role.of_all)):
        damage, damaged = mutated_file(data, Random(f"{SEED} {name} {number}"))
        file.write_bytes(damaged)
        outcome = ended(worker, role, file, result)
        wrong = wrong_end(outcome)
        if not wrong and outcome.status == 0:
            wrong = wrong_picture(result, whose) if role.result == ".png" else ""
            if damage in _WORTHLESS:
                wrong = wrong or "taken"
        if wrong:
            findings.append((number, damage, wrong))
            _keep(file, f"{number}-{damage}-{name}")
    assert findings == []


def _keep(file: Path, name: str) -> None:
    """Keep what was found wrong where PULID_HOSTILE_KEEP says."""
    if folder := os.environ.get("PULID_HOSTILE_KEEP"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, name).write_bytes(file.read_bytes())


def test_every_role_is_tried(roles: Roles) -> None:
    assert set(roles.all) == set(NAMES)
