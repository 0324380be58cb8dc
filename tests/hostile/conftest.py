"""What the hostile tests share: the valid files of every role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from command_worker import CommandWorker

from . import worker as worker_program
from .roles import Roles


@pytest.fixture(scope="session")
def worker() -> Iterator[CommandWorker]:
    process = CommandWorker(str(worker_program.__file__))
    yield process
    process.close()


@pytest.fixture(scope="session")
def roles(
    tmp_path_factory: pytest.TempPathFactory,
    standin_weights: dict[str, Path],
    worker: CommandWorker,
) -> Roles:
    pytest.importorskip("torch")
    return Roles(tmp_path_factory.mktemp("hostile"), standin_weights, worker)
