"""Files whose header is whole and whose data is zeros are refused; good ones with zeros are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from file_drafts import write_empty_safetensors, write_pulid_weights
from pulid_sdcpp import Identity, IdentityFileError, ModelFileError, StableDiffusion
from pulid_sdcpp.families.flux.folding import fold
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.pocket.pack import PACK_FOLDER, pocket_files
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.file_header import read_header
from pulid_sdcpp.tensors.file_kinds import classify
from pulid_sdcpp.tensors.hollow_file import check_data, check_not_hollow
from pulid_sdcpp.tensors.tensor_header import TensorInfo

TOKENS = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
Load = Callable[..., StableDiffusion]
Files = dict[str, Path]


def check(path: Path) -> None:
    with FileBytes(path) as content:
        header = read_header(content, str(path))
        check_not_hollow(content, header.tensors.values(), classify(header).kind)


def with_hole(path: Path, folder: Path, begin: float, end: float) -> Path:
    """A copy with zeros in the place of a part of its data."""
    content = bytearray(path.read_bytes())
    with FileBytes(path) as file:
        start = read_header(file, str(path)).data_offset
    data = len(content) - start
    first, last = (start + int(data * part) for part in (begin, end))
    content[first:last] = bytes(last - first)
    copy = folder / path.name
    copy.write_bytes(content)
    return copy


ROLES = ("flux-f16", "flux-q8_0", "flux-q4_k", "pulid", "vae", "taesd", "clip_l")


@pytest.mark.parametrize("role", ROLES)
def test_a_file_of_zeros_is_refused_in_every_role(
    role: str, standin_weights: Files, tmp_path: Path
) -> None:
    check(standin_weights[role])  # the stand-ins have zeros enough, and are good
    with pytest.raises(ModelFileError, match=r"matrices are zeros, .* not finished"):
        check(with_hole(standin_weights[role], tmp_path, 0.0, 1.0))


@pytest.mark.parametrize("first", [0.0, 0.01])
@pytest.mark.parametrize("role", ["unet-f16", "clip_g", "checkpoint", "pulid-v1", "pulid-v1.1"])
def test_a_file_of_zeros_is_refused_in_every_role_of_sdxl(
    role: str, first: float, make_sdxl_weights: Callable[..., Files], tmp_path: Path
) -> None:
    files = make_sdxl_weights(depths=(1, 1), checkpoint=True)
    check(files[role])
    with pytest.raises(ModelFileError, match=r"matrices are zeros, .* not finished"):
        check(with_hole(files[role], tmp_path, first, 1.0))


@pytest.mark.parametrize("part", [(0.5, 1.0), (0.3, 0.5)], ids=["the end", "a hole"])
@pytest.mark.parametrize("role", ["flux-f16", "flux-q4_0", "pulid"])
def test_a_part_of_zeros_is_refused_where_no_matrix_can_be(
    role: str, part: tuple[float, float], standin_weights: Files, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="matrices are zeros, '"):
        check(with_hole(standin_weights[role], tmp_path, *part))


@pytest.mark.parametrize(
    ("role", "name"),
    [("taesd", "decoder.layers.11.weight"), ("vae", "decoder.up.2.upsample.conv.weight")],
)
def test_what_has_no_way_around_it_cannot_be_zeros(
    role: str, name: str, standin_weights: Files, tmp_path: Path
) -> None:
    content = bytearray(standin_weights[role].read_bytes())
    with FileBytes(standin_weights[role]) as file:
        info = read_header(file, "").tensors[name]
    content[info.offset : info.offset + info.nbytes] = bytes(info.nbytes)
    path = tmp_path / standin_weights[role].name
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=f"1 of its .* matrices are zeros, '{name}' first"):
        check(path)


def test_the_pocket_model_is_good() -> None:
    files = pocket_files()
    for path in (*PACK_FOLDER.glob("*.gguf"), *PACK_FOLDER.glob("*.safetensors"), files.clip_l):
        check(Path(path))
    for path in PACK_FOLDER.rglob("*.onnx"):
        with FileBytes(path) as content:
            check_data(content)


def test_a_text_encoder_has_no_matrix_of_zeros(tmp_path: Path) -> None:
    names = [f"encoder.block.{i}.layer.0.SelfAttention.q.weight" for i in range(4)]
    shapes = dict.fromkeys(names, (64, 64))
    path = write_empty_safetensors(tmp_path / "t5", {"shared.weight": (32128, 4096), **shapes})
    with pytest.raises(ModelFileError, match="5 of its 5 matrices are zeros"):
        check(path)


def test_a_good_file_of_another_kind_may_have_zeros(tmp_path: Path) -> None:
    path = tmp_path / "other"
    write_empty_safetensors(path, {"one.weight": (64, 64), "two.weight": (64, 64)})
    with pytest.raises(ModelFileError, match="2 of its 2"):
        check(path)
    with path.open("r+b") as file:
        file.seek(-3000, 2)
        file.write(b"numbers")
    check(path)


def test_little_is_read() -> None:
    """One page of a good matrix, five of one of zeros."""
    reads: list[int] = []

    class Counting:
        path = "file"

        def read(self, offset: int, count: int) -> bytes:
            reads.append(count)
            return bytes([offset < 1 << 30]) * count

    tensors = [TensorInfo(f"{i}.weight", (3072, 3072), "f16", i << 24, 1 << 24) for i in range(64)]
    check_not_hollow(Counting(), tensors, "vae")  # type: ignore[arg-type]
    assert reads == [4096] * 64
    tensors.append(TensorInfo("zeros", (3072, 3072), "f16", 1 << 30, 1 << 24))
    check_not_hollow(Counting(), tensors, "vae")  # type: ignore[arg-type]
    assert reads == [4096] * (64 + 64 + 5)


@pytest.mark.parametrize(("hole", "is_refused"), [((0.8, 1.0), True), ((0.4, 0.45), False)])
def test_a_file_without_a_list_of_tensors(
    hole: tuple[float, float], is_refused: bool, tmp_path: Path
) -> None:
    content = bytearray(np.random.default_rng(0).bytes(1_000_000))
    first, last = (int(len(content) * part) for part in hole)
    content[first:last] = bytes(last - first)
    (tmp_path / "model.onnx").write_bytes(content)
    with FileBytes(tmp_path / "model.onnx") as file:
        if not is_refused:
            check_data(file)
            return
        with pytest.raises(ModelFileError, match=r"model\.onnx: zeros from byte 8"):
            check_data(file)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [("to_q", "to_q, to_kv or norm2"), ("norm2.weight", "norm2"), ("to_out", "to_out or to_kv")],
)
def test_a_layer_of_zeros_is_not_folded(tensor: str, words: str, tmp_path: Path) -> None:
    path = write_pulid_weights(tmp_path / "pulid.safetensors", layers=3)
    content = bytearray(path.read_bytes())
    with PulidWeights(path) as weights:
        for name in weights.file.names():
            if name.startswith(f"pulid_ca.1.{tensor}"):
                info = weights.file.info(name)
                content[info.offset : info.offset + info.nbytes] = bytes(info.nbytes)
    path.write_bytes(content)
    with (
        PulidWeights(path) as weights,
        pytest.raises(ModelFileError, match=rf"layer pulid_ca\.1: .*{words}.* zeros"),
    ):
        list(fold(weights, TOKENS))


def test_an_identity_of_zeros_is_refused(tmp_path: Path) -> None:
    identity = Identity.from_array(np.ones((32, 64)))
    identity.save(tmp_path / "a.pulidembd")
    content = (tmp_path / "a.pulidembd").read_bytes()
    size = identity.tokens.size * 2
    (tmp_path / "a.pulidembd").write_bytes(content[:-size] + bytes(size))
    with pytest.raises(IdentityFileError, match=r"a\.pulidembd: .*only zeros"):
        Identity.load(tmp_path / "a.pulidembd")


@pytest.mark.engine
@pytest.mark.parametrize("role", ["flux-f16", "pulid", "clip_l", "taesd"])
def test_an_engine_is_not_loaded_with_zeros(
    role: str, standin_weights: Files, load_engine: Load, tmp_path: Path
) -> None:
    files = {**standin_weights, role: with_hole(standin_weights[role], tmp_path, 0.0, 1.0)}
    with pytest.raises(ModelFileError, match="are zeros"):
        load_engine(files)
