"""2,000 damaged PyTorch checkpoints, and those that would run something: one clear error each."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pulid_sdcpp.errors import ModelFileError  # noqa: E402
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor, TorchCheckpoint  # noqa: E402

from . import SEED, count  # noqa: E402
from .checkpoints import ARCHIVES, PICKLES, VALID, archive, mutated_checkpoint, valid_checkpoint  # noqa: E402

SLACK_BYTES = 1 << 20
"""What reading a file of a few kilobytes takes beside its numbers."""
BITS = {"bf16": torch.bfloat16}


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def read(path: Path, slack_bytes: int = SLACK_BYTES) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint; what is not one is refused by one line that names it."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        with TorchCheckpoint(path) as checkpoint:
            return checkpoint.read(checkpoint.tensors)
    except ModelFileError as error:
        text = str(error)
        assert text.startswith(str(path))
        assert len(text.splitlines()) == 1
        assert len(text) < 500 + len(str(path))
        raise
    finally:
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before <= path.stat().st_size + slack_bytes


def legacy(pickled: bytes) -> bytes:
    """The form before PyTorch 1.6, with one pickle in the place of its own."""
    made = io.BytesIO()
    torch.save({}, made, _use_new_zipfile_serialization=False)
    head = made.getvalue()[: made.getvalue().index(b"uu.") + 3]
    return head + pickled + b"\x80\x02]X\x01\0\0\x000a.\x02" + bytes(7) + b"\0\0\x80?\0\0\0@"


@pytest.mark.parametrize("form", [archive, legacy])
def test_the_pickle_that_the_others_are_made_from_is_right(tmp_path: Path, form: object) -> None:
    (tmp_path / "x.pt").write_bytes(form(VALID))  # type: ignore[operator]
    assert read(tmp_path / "x.pt")["a"].values.tolist() == [1, 2]


@pytest.mark.parametrize("form", [archive, legacy])
@pytest.mark.parametrize("what", PICKLES(Path("marker")))
def test_nothing_is_run(tmp_path: Path, what: str, form: object) -> None:
    marker = tmp_path / "marker"
    pickled = PICKLES(marker)[what]
    (tmp_path / "x.pt").write_bytes(form(pickled))  # type: ignore[operator]
    # Of 260,000 codes a pickle may be, whose objects are larger than they.
    slack_bytes = SLACK_BYTES if len(pickled) < 10_000 else 16 << 20
    with pytest.raises(ModelFileError):
        read(tmp_path / "x.pt", slack_bytes)
    assert not marker.exists()


@pytest.mark.parametrize("what", ARCHIVES())
def test_archives_that_are_not_what_they_seem(tmp_path: Path, what: str) -> None:
    (tmp_path / "x.pt").write_bytes(ARCHIVES()[what])
    with pytest.raises(ModelFileError):
        read(tmp_path / "x.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_damaged(tmp_path: Path, zipped: bool) -> None:
    data = valid_checkpoint(zipped)
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    valid = read(path)
    assert len(valid) == 7
    refused = 0
    for number in range(count(1000, least=150)):
        damage, damaged = mutated_checkpoint(data, Random(f"{SEED} {zipped} {number}"))
        path.write_bytes(damaged)
        try:
            found = read(path) if damaged else {}
        except ModelFileError:
            refused += 1
            continue
        assert_as_torch_reads_it(path, found, f"{number} {damage}")
    assert refused > 50


def assert_as_torch_reads_it(path: Path, found: dict[str, StoredTensor], which: str) -> None:
    """Where torch reads the file, too, and finds names: not another file than it."""
    try:
        content = torch.load(path, weights_only=True)
        content = content.get("state_dict", content)
        expected = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)}
    except Exception:
        return
    assert found.keys() == expected.keys(), which
    for name, tensor in expected.items():
        stored = torch.from_numpy(np.array(found[name].values))
        stored = stored.view(BITS.get(found[name].dtype, stored.dtype))
        assert stored.dtype == tensor.dtype, which
        assert torch.equal(stored.nan_to_num(), tensor.detach().nan_to_num()), which
