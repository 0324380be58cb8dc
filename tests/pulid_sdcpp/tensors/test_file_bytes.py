"""A file that is read while others write to it: what is missing or changed is an error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_drafts import write_pulid_weights
from pulid_sdcpp import Identity, ModelFileError, StableDiffusion
from pulid_sdcpp.families.flux.folding import fold
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.folding.cache import FoldingCache
from pulid_sdcpp.system.file_hash import file_stamp
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.tensor_file import TensorFile

TOKENS = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_pulid_weights(tmp_path / "pulid.safetensors", layers=3)


def written_over(path: Path, content: bytes) -> None:
    """As `cp` does it: the same file, with other content."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate(len(content))
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))


@pytest.mark.parametrize("at_a_place", [True, False])
def test_bytes_are_those_of_the_file(
    at_a_place: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_a_place:  # as on Windows
        monkeypatch.delattr(os, "preadv", raising=False)
    content = np.random.default_rng(1).bytes(700_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    with FileBytes(path) as file:
        assert len(file) == len(content)
        assert file.stamp == file_stamp(path)
        for part in (slice(0, 64), slice(60, 300_000), slice(5, 9), slice(699_990, 800_000),
                     slice(None, 4), slice(9, 3), slice(800_000, 900_000)):  # fmt: skip
            assert file[part] == content[part]
        found: dict[int, bytes] = {}

        def read(start: int) -> None:
            found[start] = file.read(start, 50_000)

        threads = [threading.Thread(target=read, args=(at,)) for at in range(0, 600_000, 50_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert b"".join(found[start] for start in sorted(found)) == content[:600_000]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, words in (("", "found a folder"), ("none", "no such file"), ("empty", "empty file")):
        with pytest.raises(ModelFileError, match=words):
            FileBytes(tmp_path / name)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match="found a named pipe"):
            FileBytes(tmp_path / "pipe")


def test_a_file_cut_short_is_an_error_and_not_the_end_of_the_process(weights: Path) -> None:
    with TensorFile(weights) as file:
        name = file.names()[-1]
        os.truncate(weights, weights.stat().st_size // 2)
        with pytest.raises(
            ModelFileError, match=r"pulid\.safetensors: truncated while it was open"
        ):
            file.read(name)
        with pytest.raises(ModelFileError, match="truncated while it was open"):
            file.content_sha256([name])


@pytest.mark.parametrize("limit_bytes", [0, 1 << 20], ids=["no cache", "cache"])
def test_weights_written_over_are_not_folded(
    limit_bytes: int, weights: Path, tmp_path: Path
) -> None:
    other = write_pulid_weights(tmp_path / "other.safetensors", seed=5, layers=3).read_bytes()
    with PulidWeights(weights) as opened:
        cache = FoldingCache(opened, limit_bytes, tmp_path / "folded")
        list(cache.fold(TOKENS))
        written_over(weights, other)
        for tokens in (TOKENS, TOKENS + 1):
            with pytest.raises(ModelFileError, match=r"pulid\.safetensors: changed while"):
                list(cache.fold(tokens))


@pytest.mark.parametrize("limit_bytes", [0, 1 << 20], ids=["no cache", "cache"])
def test_weights_written_over_while_they_are_folded_give_no_identity(
    limit_bytes: int, weights: Path, tmp_path: Path
) -> None:
    other = write_pulid_weights(tmp_path / "other.safetensors", seed=5, layers=3).read_bytes()
    with PulidWeights(weights) as opened:
        layers = FoldingCache(opened, limit_bytes, tmp_path / "folded").fold(TOKENS)
        next(layers)
        written_over(weights, other)
        with pytest.raises(ModelFileError, match="changed while it was open"):
            list(layers)
    assert not list(tmp_path.glob("folded/*.folded"))


def test_weights_whose_name_another_file_took_are_what_they_were(
    weights: Path, tmp_path: Path
) -> None:
    """The way to replace a file: the one that is open stays whole."""
    with PulidWeights(weights) as opened:
        before = [layer.a.tobytes() for layer in fold(opened, TOKENS)]
        os.replace(write_pulid_weights(tmp_path / "other", seed=5, layers=3), weights)
        assert [layer.a.tobytes() for layer in fold(opened, TOKENS)] == before


@pytest.mark.engine
def test_an_engine_whose_weights_were_written_over_keeps_who_it_holds(
    standin_weights: dict[str, Path],
    load_engine: Callable[..., StableDiffusion],
    make_identity: Callable[[int], Identity],
    tmp_path: Path,
) -> None:
    copy = tmp_path / "pulid.safetensors"
    copy.write_bytes(standin_weights["pulid"].read_bytes())
    options: dict[str, Any] = {"width": 64, "height": 64, "sample_steps": 1, "cfg_scale": 1.0}
    with load_engine(
        {**standin_weights, "pulid": copy}, pulid_fold_cache=False, backend="cpu"
    ) as engine:
        alice, bob = make_identity(1), make_identity(2)
        (before,) = engine.generate_image("a", pulid_id_embedding=alice, **options)
        written_over(copy, bytes(copy.stat().st_size))
        with pytest.raises(ModelFileError, match="changed while it was open"):
            engine.generate_image("a", pulid_id_embedding=bob, **options)
        (after,) = engine.generate_image("a", pulid_id_embedding=alice, **options)
    assert before.tobytes() == after.tobytes()
