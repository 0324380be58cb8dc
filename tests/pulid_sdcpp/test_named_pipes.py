"""Whatever opens a file that the user names: a named pipe is refused, and never waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pulid_sdcpp import Identity
from pulid_sdcpp.batch.formats import read_text
from pulid_sdcpp.errors import PulidError
from pulid_sdcpp.evaluation.prompts import read_prompts
from pulid_sdcpp.folding.folded_file import read_folded_file
from pulid_sdcpp.folding.folded_layout import FoldedLayout
from pulid_sdcpp.identity.identity_file import is_identity_file
from pulid_sdcpp.model_files.description import describe_file
from pulid_sdcpp.model_files.engine_checks import check_upscaler
from pulid_sdcpp.pictures.recipe import recipe_from
from pulid_sdcpp.system.file_hash import remembered_sha256
from pulid_sdcpp.system.image_file import read_image
from pulid_sdcpp.system.mask_image import read_mask
from pulid_sdcpp.system.user_config import load_user_config
from pulid_sdcpp.tensors.tensor_file import TensorFile

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")

LAYOUT = FoldedLayout(1, 4, 8, "f16")
READERS: dict[str, Callable[[Path], object]] = {
    "start image": read_image,
    "mask": read_mask,
    "--from": recipe_from,
    "identity": Identity.load,
    "jobs": read_text,
    "prompts": read_prompts,
    "config file": load_user_config,
    "model": describe_file,
    "weights": TensorFile,
    "upscaler": lambda path: check_upscaler(str(path)),
    "hash of a file": lambda path: remembered_sha256(path, path.parent),
    "folded layers": lambda path: list(read_folded_file(path, LAYOUT, bytes(32))),
}


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def end(*_: object) -> None:
        raise AssertionError("it waits for somebody who writes to the pipe")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("reader", READERS)
def test_it_is_said_what_it_is(reader: str, pipe: Path) -> None:
    with pytest.raises((PulidError, OSError), match="found a named pipe") as raised:
        READERS[reader](pipe)
    assert str(pipe) in str(raised.value)


def test_it_is_no_identity_file(pipe: Path) -> None:
    assert not is_identity_file(pipe)
