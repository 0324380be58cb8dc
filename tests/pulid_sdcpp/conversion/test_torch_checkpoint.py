"""PuLID v1's torch checkpoint becomes a file without programs in it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from file_drafts import write_pulid_weights
from pulid_sdcpp.conversion import torch_checkpoint
from pulid_sdcpp.conversion.torch_checkpoint import readable_weights
from pulid_sdcpp.errors import ModelFileError, OutputFileError
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.tensors.tensor_file import TensorFile

torch = pytest.importorskip("torch")
LAYER = "id_adapter_attn_layers"


def tensors(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    shapes = {
        "id_adapter.body.0.weight": (8, 8),
        "id_adapter.body.1.weight": (8,),
        f"{LAYER}.1.id_to_k.weight": (64, 16),
        f"{LAYER}.1.id_to_v.weight": (64, 16),
    }
    return {name: torch.randn(s, generator=chance).to(dtype) for name, s in shapes.items()}


def saved(path: Path, content: object, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize(
    ("dtype", "stored"), [("float32", "f32"), ("float16", "f16"), ("bfloat16", "bf16")]
)
def test_all_tensors_are_in_the_copy_and_it_goes(
    tmp_path: Path, zipped: bool, dtype: str, stored: str
) -> None:
    original = tensors(getattr(torch, dtype))
    source = saved(tmp_path / "pulid_v1.bin", original, zipped)
    with readable_weights(source, tmp_path / "out.safetensors") as copy:
        assert Path(copy).name == "pulid_v1.safetensors"
        with TensorFile(copy) as file:
            assert file.names() == list(original)
            for name, tensor in original.items():
                assert file.dtype(name) == stored
                np.testing.assert_array_equal(file.read(name), tensor.float().numpy())
        with SdxlPulidWeights(copy) as weights:
            assert weights.version == "v1"
    assert [path.name for path in tmp_path.iterdir()] == ["pulid_v1.bin"]


def test_another_file_is_read_where_it_is(tmp_path: Path) -> None:
    source = write_pulid_weights(tmp_path / "pulid.safetensors")
    with readable_weights(source, tmp_path / "out.gguf") as readable:
        assert readable == str(source)


def test_nothing_is_left_after_a_failure(tmp_path: Path) -> None:
    source = saved(tmp_path / "pulid_v1.bin", tensors())
    with pytest.raises(RuntimeError), readable_weights(source, tmp_path / "out.safetensors"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["pulid_v1.bin"]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (Path("evil"),)  # type: ignore[return-value]


def test_programs_in_a_checkpoint_do_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "evil.bin", tensors() | {"x": _Evil()})
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(_Evil()))
    for name in ("evil.bin", "evil.pt"):
        with pytest.raises(ModelFileError, match=name), readable_weights(name, Path("out.gguf")):
            pass
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"layer.weight": torch.ones(2, 2)}, "only PuLID weights for SDXL are converted, found"),
        (tensors() | {"steps": torch.tensor(3)}, "found 'steps' of type i64 and shape"),
        (tensors() | {"steps": torch.tensor(3.0)}, "found 'steps' of type f32 and shape"),
        ([1], "expected a PyTorch checkpoint of named tensors"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path: Path, content: object, says: str) -> None:
    source = saved(tmp_path / "x.bin", content)
    with (
        pytest.raises(ModelFileError, match=says) as caught,
        readable_weights(source, tmp_path / "out.gguf"),
    ):
        pass
    assert str(source) in str(caught.value)


def test_a_full_disk_is_said_before_it_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tmp_path / "pulid_v1.bin", tensors())
    monkeypatch.setattr(torch_checkpoint.shutil, "disk_usage", lambda folder: _Usage)
    with (
        pytest.raises(OutputFileError, match=r"a copy of .* needs 0\.0 GB"),
        readable_weights(source, tmp_path / "out.gguf"),
    ):
        pass


class _Usage:
    free = 1
