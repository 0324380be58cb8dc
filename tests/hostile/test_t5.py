"""The T5 encoder with a damaged header: its size is fixed, the file has 1.5 GB."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from command_worker import CommandWorker
from long_form import IS_LONG
from published_shapes import write_t5

from . import SEED
from .findings import limit_s, wrong_end
from .mutations import damaged_header

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.slow]

_HEADER_BYTES = 24_000
_N_DAMAGES = 60


@pytest.mark.skipif(not IS_LONG, reason="in the long form only: make test-long")
def test_damaged_t5(
    tmp_path: Path, worker: CommandWorker, standin_weights: dict[str, Path]
) -> None:
    file = write_t5(tmp_path / "t5xxl.gguf", "q2_k")
    page = Random(1).choices(range(0x20, 0x3C), k=1 << 20)  # small numbers in every type
    with file.open("r+b") as opened:
        valid = opened.read(_HEADER_BYTES)
        size = opened.seek(0, os.SEEK_END)
        opened.seek(_HEADER_BYTES)
        while opened.tell() < size:
            opened.write(bytes(page[: size - opened.tell()]))
    task = {
        "engine": {
            "diffusion_model_path": str(standin_weights["flux-q8_0"]),
            "clip_l_path": str(standin_weights["clip_l"]),
            "taesd_path": str(standin_weights["taesd"]),
            "t5xxl_path": str(file),
        },
        "picture": None,
        "output": "",
    }
    assert worker.run(task, 6 * limit_s()).status == 0

    findings = []
    for number in range(_N_DAMAGES):
        damage, header = damaged_header(valid, Random(f"{SEED} t5 {number}"))
        with file.open("r+b") as opened:
            opened.write(header)
        if wrong := wrong_end(worker.run(task, 2 * limit_s())):
            findings.append((number, damage, wrong))
    assert findings == []
