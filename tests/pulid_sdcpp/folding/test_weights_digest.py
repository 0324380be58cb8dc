"""Content hashes of weights: when they are computed, and when they are only looked up."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from file_drafts import write_pulid_weights
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.folding import weights_digest
from pulid_sdcpp.folding.weights_digest import file_digest, layers_digest
from pulid_sdcpp.tensors.tensor_file import TensorFile


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def weights_file(tmp_path):
    return written_long_ago(write_pulid_weights(tmp_path / "pulid.safetensors"))


@pytest.fixture
def hashed(monkeypatch):
    """Files that were hashed, in order."""
    paths: list[str] = []
    original = TensorFile.content_sha256

    def remember(self, names):
        paths.append(self.path)
        return original(self, names)

    monkeypatch.setattr(TensorFile, "content_sha256", remember)
    return paths


def written_long_ago(path: Path) -> Path:
    os.utime(path, ns=(10**18, 10**18))
    return path


def digest(path: Path, folder: Path) -> str:
    with PulidWeights(path) as weights:
        return layers_digest(weights, folder)


def test_it_is_computed_once(weights_file, folder, hashed):
    first = digest(weights_file, folder)
    assert len(bytes.fromhex(first)) == 32
    assert digest(weights_file, folder) == first
    assert len(hashed) == 1
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_a_copy_has_the_same_and_other_weights_another(weights_file, folder, tmp_path):
    first = digest(weights_file, folder)
    assert digest(shutil.copy(weights_file, tmp_path / "copy"), folder) == first
    assert digest(write_pulid_weights(tmp_path / "other", seed=1), folder) != first


def test_a_changed_file_is_hashed_anew(weights_file, folder):
    first = digest(weights_file, folder)
    write_pulid_weights(weights_file, seed=1)
    second = digest(written_long_ago(weights_file), folder)
    assert second != first
    assert digest(weights_file, folder) == second


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of the last change of anything")
def test_a_change_that_kept_size_and_time_is_seen(weights_file, folder):
    before = weights_file.stat()
    first = digest(weights_file, folder)
    time.sleep(0.02)  # more than the resolution of a file system's clock
    with weights_file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(weights_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = weights_file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert digest(weights_file, folder) != first


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, folder, hashed):
    path = write_pulid_weights(tmp_path / "pulid.safetensors")
    digest(path, folder)
    digest(path, folder)
    assert len(hashed) == 2
    assert list(folder.iterdir()) == []


def record_with(folder: Path, **changes: object) -> bytes:
    (record,) = folder.iterdir()
    return json.dumps({**json.loads(record.read_bytes()), **changes}).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        lambda folder: b"",
        lambda folder: b"{",
        lambda folder: b"\xff\xfe",
        lambda folder: b"[1, 2]",
        lambda folder: b"null",
        lambda folder: b"[" * 4000,
        lambda folder: b"{}",
        lambda folder: b" " * 5000 + record_with(folder),
        lambda folder: record_with(folder)[:-2],
        lambda folder: record_with(folder, version=2, sha256="00" * 32),
        lambda folder: record_with(folder, stamp=[1, 2, 3, 4], sha256="00" * 32),
        lambda folder: record_with(folder, path="/another", sha256="00" * 32),
        lambda folder: record_with(folder, sha256="00" * 31),
        lambda folder: record_with(folder, sha256="x" * 64),
        lambda folder: record_with(folder, sha256=None),
        lambda folder: record_with(folder, sha256=7),
    ],
)
def test_a_damaged_record_is_made_anew(weights_file, folder, hashed, damaged):
    first = digest(weights_file, folder)
    (record,) = folder.iterdir()
    good = record.read_bytes()
    record.write_bytes(damaged(folder))
    assert digest(weights_file, folder) == first
    assert len(hashed) == 2
    assert record.read_bytes() == good


def test_a_folder_that_cannot_be_written_is_no_error(weights_file, tmp_path):
    digest(weights_file, tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_whole_file_is_hashed_once(tmp_path, folder, monkeypatch):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"weights" * 1000)
    written_long_ago(path)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert file_digest(path, folder) == expected
    with monkeypatch.context() as patched:
        patched.setattr(weights_digest, "_sha256", lambda path: "computed again")
        assert file_digest(path, folder) == expected
    path.write_bytes(b"others!" * 1000)
    assert file_digest(path, folder) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(tmp_path, folder, monkeypatch):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"weights")
    written_long_ago(path)

    def replaced_meanwhile(path, *_):
        path.write_bytes(b"others!")
        return "ab" * 32

    monkeypatch.setattr(weights_digest, "_sha256", replaced_meanwhile)
    assert file_digest(path, folder) == "ab" * 32
    assert list(folder.iterdir()) == []


def test_the_two_kinds_of_hash_of_one_file_are_kept_apart(weights_file, folder):
    layers, whole = digest(weights_file, folder), file_digest(weights_file, folder)
    assert layers != whole
    assert (digest(weights_file, folder), file_digest(weights_file, folder)) == (layers, whole)
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_is_not_there_is_named(tmp_path, folder):
    with pytest.raises(ModelFileError, match=r"absent\.onnx: cannot read it: No such file"):
        file_digest(tmp_path / "absent.onnx", folder)
