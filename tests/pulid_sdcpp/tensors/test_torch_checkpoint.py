"""PyTorch checkpoints, read without PyTorch: the same tensors as it reads."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor, TorchCheckpoint

BITS = {
    "bf16": torch.bfloat16,
    "f8_e4m3": torch.float8_e4m3fn,
    "f8_e5m2": torch.float8_e5m2,
}
BASE = torch.arange(24.0).reshape(4, 6)
TENSORS: dict[str, Any] = {
    "f32": BASE,
    "transposed": BASE.t(),
    "a view": BASE[1:3, ::2],
    "expanded by nothing": BASE[:1].expand(1, 6),
    "scalar": torch.tensor(3.5),
    "nothing": torch.empty(0, 3),
    "bf16": torch.linspace(-2, 2, 5).bfloat16(),
    "f16": torch.linspace(-2, 2, 6).half().reshape(3, 2),
    "f64": torch.linspace(0, 1, 3).double(),
    "i64": torch.arange(3),
    "i32": torch.arange(3).int(),
    "i16": torch.arange(3).short(),
    "i8": torch.arange(-2, 1).char(),
    "u8": torch.arange(3).byte(),
    "bool": torch.tensor([True, False]),
    "f8_e4m3": torch.linspace(-2, 2, 4).to(torch.float8_e4m3fn),
    "f8_e5m2": torch.linspace(-2, 2, 4).to(torch.float8_e5m2),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}
FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])


def read(path: Path) -> dict[str, StoredTensor]:
    with TorchCheckpoint(path) as checkpoint:
        found = checkpoint.read(checkpoint.tensors)
        checkpoint.check_unchanged()
        return found


def assert_same(found: dict[str, StoredTensor], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        stored = torch.from_numpy(np.array(found[name].values))
        stored = stored.view(BITS[found[name].dtype]) if found[name].dtype in BITS else stored
        assert stored.dtype == tensor.dtype
        assert stored.shape == tensor.shape == found[name].shape
        assert torch.equal(stored.float(), tensor.detach().float()), name
        np.testing.assert_array_equal(found[name].float32(), tensor.detach().float().numpy())


@FORMS
@pytest.mark.parametrize("protocol", [2, 4])
def test_every_type_and_view_is_read(tmp_path: Path, zipped: bool, protocol: int) -> None:
    path = tmp_path / "x.pt"
    torch.save(TENSORS, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert_same(read(path), TENSORS)


@FORMS
def test_a_state_dict_of_a_network(tmp_path: Path, zipped: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2), torch.nn.BatchNorm2d(4))
    torch.save(network.state_dict(), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert_same(read(tmp_path / "x.pt"), dict(network.state_dict()))


@FORMS
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_what_a_training_program_put_beside_is_left_out(
    tmp_path: Path, zipped: bool, wrapper: str
) -> None:
    content = {
        "epoch": 3, "loss": 0.5, "size": torch.Size([2, 3]), "type": torch.float16,
        "optimizer": {"state": {0: {"step": torch.ones(3)}}, "groups": [{"lr": 1e-4}]},
        wrapper: OrderedDict(a=BASE, b=BASE), "none": None,
    }  # fmt: skip
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert_same(read(tmp_path / "x.pt"), {"a": BASE, "b": BASE})


@FORMS
def test_numbers_of_several_tensors_are_in_memory_once(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": BASE, "b": BASE[1]}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found = read(tmp_path / "x.pt")
    assert np.shares_memory(found["a"].values, found["b"].values)


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path / "x.pt")
    with TorchCheckpoint(tmp_path / "x.pt") as checkpoint:
        assert list(checkpoint.tensors) == ["a", "b"]
        assert list(checkpoint.read(["b"])) == ["b"]
        with pytest.raises(ModelFileError, match="has no tensor 'c'"):
            checkpoint.read(["c"])


def test_a_tensor_of_python_2(tmp_path: Path) -> None:
    """Texts were bytes, and an ordered dictionary a list of pairs."""
    saved = (
        b"\x80\x02ccollections\nOrderedDict\n](]U\x01aactorch._utils\n_rebuild_tensor\n("
        b"(U\x07storagectorch\nFloatStorage\nU\x011U\x03cpuK\x02NtQK\x00K\x02\x85K\x01\x85tRae\x85R."
    )
    before, after = io.BytesIO(), b"\x80\x02]U\x011a.\x02" + bytes(7) + b"\0\0\x80?\0\0\0@"
    torch.save({}, before, _use_new_zipfile_serialization=False)
    head = before.getvalue()[: before.getvalue().index(b"uu.") + 3]
    (tmp_path / "x.pt").write_bytes(head + saved + after)
    assert read(tmp_path / "x.pt")["a"].values.tolist() == [1, 2]


def test_torch_is_not_imported(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.pt")
    program = (
        "import sys\nfrom pulid_sdcpp.tensors.torch_checkpoint import TorchCheckpoint\n"
        f"with TorchCheckpoint({str(tmp_path / 'x.pt')!r}) as f: f.read(f.tensors)\n"
        "assert not {'torch', 'zipfile'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-S", "-c", _with_paths(program)], check=True)


def _with_paths(program: str) -> str:
    return f"import sys\nsys.path[:] = {sys.path!r}\n{program}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "expected named tensors, found a list"),
        (torch.ones(2), "expected named tensors, found a tensor"),
        ({"step": 3}, "a checkpoint without any"),
        ({"a" * 2000: torch.ones(1)}, "expected named tensors, found one called"),
        ({3: torch.ones(1)}, "expected named tensors, found one called '3'"),
        ({(1, 2): torch.ones(1)}, "a dictionary of something else than names"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "asks for 'torch.ComplexFloatStorage'"),
        ({"a": torch.ones(2, 2).to_sparse()}, "asks for 'torch._utils._rebuild_sparse_tensor'"),
    ],
)
def test_what_has_no_named_tensors_is_refused(
    tmp_path: Path, content: object, message: str
) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ModelFileError, match=message) as raised:
        read(tmp_path / "x.pt")
    assert "x.pt" in str(raised.value)


@FORMS
def test_a_file_that_ends_too_early_is_refused(tmp_path: Path, zipped: bool) -> None:
    torch.save(TENSORS, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "x.pt").read_bytes()
    for length in [*range(1, 40), *range(40, len(whole), 97), len(whole) - 1]:
        (tmp_path / "x.pt").write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"cannot be read|truncated|damaged"):
            read(tmp_path / "x.pt")


def test_another_order_of_bytes_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, b"big" if name.endswith("byteorder") else content)
    with pytest.raises(ModelFileError, match="order of bytes"):
        read(tmp_path / "x.pt")


def test_a_checkpoint_that_is_written_to_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(100)}, path)
    with TorchCheckpoint(path) as checkpoint:
        path.write_bytes(b"")
        with pytest.raises(ModelFileError, match="truncated while it was open"):
            checkpoint.read(["a"])
        with pytest.raises(ModelFileError, match="changed while it was open"):
            checkpoint.check_unchanged()
