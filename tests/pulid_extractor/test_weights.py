"""Weights files read, every way in which they can be wrong, and what PyTorch makes of them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pulid_extractor.checkpoint import as_torch, fill, place
from pulid_extractor.weights import read_weights
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def assert_same(found: dict[str, StoredTensor]) -> None:
    assert found.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(as_torch(found[name]), value)
        assert as_torch(found[name]).dtype == value.dtype


def test_reads_safetensors_whatever_its_name(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights.pt")
    assert_same(read_weights(tmp_path / "weights.pt"))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_reads_both_forms_of_checkpoint(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
    assert_same(read_weights(path))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_unwraps_a_training_checkpoint(tmp_path: Path, wrapper: str) -> None:
    torch.save({"epoch": 3, wrapper: TENSORS}, tmp_path / "weights.pt")
    assert_same(read_weights(tmp_path / "weights.pt"))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_prefix_selects_and_is_removed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    save_file(TENSORS, path) if suffix == "safetensors" else torch.save(TENSORS, path)
    assert list(read_weights(path, "a.")) == ["weight"]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil",)


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2), "b": _Evil()}, tmp_path / "evil.pt")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"b": _Evil()}))
    for name in ("evil.pt", "evil.pth"):
        with pytest.raises(ModelFileError, match=name):
            read_weights(tmp_path / name)
    assert not (tmp_path / "evil").exists()


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "weights.pt")
    torch.save(TENSORS, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    save_file(TENSORS, tmp_path / "weights.safetensors")
    for name in ("weights.pt", "weights.pth", "weights.safetensors"):
        whole = (tmp_path / name).read_bytes()
        for length in (20, len(whole) // 2, len(whole) - 10):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(ModelFileError, match=r"cannot be read|truncated|damaged"):
                read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"GGUF" + bytes(40), "found gguf"),
        (b"<html>not found</html>", "found an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "found a Git LFS pointer"),
        (b"\x08\x07\x12\x04onnx" + bytes(40), "found an ONNX model"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged"),
        (b"\x80\x02" + bytes(100), "cannot be read"),
        ((9999).to_bytes(8, "little") + b"{}", "truncated"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as raised:
        read_weights(tmp_path / "weights.pt")
    assert "\n" not in str(raised.value)
    assert "weights.pt" in str(raised.value)


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        read_weights(tmp_path / "weights.pt")
    with pytest.raises(ModelFileError, match="found a folder"):
        read_weights(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match="found a named pipe"):
            read_weights(tmp_path / "pipe")


@pytest.mark.parametrize("content", [[torch.ones(2)], {"step": 3}, torch.ones(2)])
def test_checkpoints_without_named_tensors_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ModelFileError, match="named tensors"):
        read_weights(tmp_path / "weights.pt")


def test_filling_a_network_copies_nothing(tmp_path: Path) -> None:
    arrays = {"weight": np.ones((3, 2)), "bias": np.zeros(3), "other": np.zeros(1)}
    stored = {name: StoredTensor("f32", value.astype("f4")) for name, value in arrays.items()}
    with torch.device("meta"):
        network = nn.Linear(2, 3)
    fill(network, stored, tmp_path / "weights.pt", "test network")
    assert network.weight.data_ptr() == stored["weight"].values.ctypes.data
    assert not network.weight.requires_grad
    assert not network.training


@pytest.mark.parametrize(
    ("stored", "wanted", "placed"),
    [
        # Narrower than the computation: left as stored, widened when used.
        (torch.float16, torch.float32, torch.float16),
        (torch.bfloat16, torch.float32, torch.bfloat16),
        (torch.float16, torch.bfloat16, torch.bfloat16),
        (torch.float32, torch.bfloat16, torch.bfloat16),
        (torch.float32, torch.float32, torch.float32),
        (torch.float64, torch.float32, torch.float32),
    ],
)
def test_weights_are_placed(stored: torch.dtype, wanted: torch.dtype, placed: torch.dtype) -> None:
    network = nn.Linear(2, 3).to(stored)
    place(network, torch.device("cpu"), wanted)
    assert network.weight.dtype == placed


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float16", "int64", "bool"]
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_types_that_numpy_has_not_survive(tmp_path: Path, dtype: str, suffix: str) -> None:
    path = tmp_path / f"w.{suffix}"
    tensors = {"a": torch.tensor([[1.5, -2.0], [0.0, 3.0]]).to(getattr(torch, dtype))}
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    found = as_torch(read_weights(path)["a"])
    assert found.dtype == tensors["a"].dtype
    assert torch.equal(found.float(), tensors["a"].float())


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_was_read_is_not_what_becomes_of_the_file(tmp_path: Path, suffix: str) -> None:
    """Of a mapping, the numbers would change, and what is cut off would end the process."""
    path = tmp_path / f"weights.{suffix}"
    tensors = {"a": torch.ones(1 << 18)}
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    found = read_weights(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    assert torch.equal(as_torch(found["a"]), tensors["a"])
    os.truncate(path, 10)
    assert torch.equal(as_torch(found["a"]), tensors["a"])


def test_only_what_is_chosen_is_read(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2, 2), "b": torch.ones(3)}
    save_file(tensors, tmp_path / "x.safetensors")
    torch.save(tensors, tmp_path / "x.pt")
    for path in (tmp_path / "x.safetensors", tmp_path / "x.pt"):
        seen: list[str] = []

        def choose(names: Sequence[str], seen: list[str] = seen) -> list[str]:
            seen += names
            return ["b"]

        assert list(read_weights(path, choose=choose)) == ["b"]
        assert sorted(seen) == ["a", "b"]
