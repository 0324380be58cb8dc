"""Hashes of files: when they are computed, and when they are only looked up."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from pulid_sdcpp.system import file_hash
from pulid_sdcpp.system.file_hash import (
    file_sha256,
    file_stamp,
    known_sha256,
    remembered_sha256,
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def weights_file(tmp_path):
    return written_long_ago(write(tmp_path / "network.onnx", b"weights"))


@pytest.fixture
def hashed(monkeypatch):
    """Files that were hashed, in order."""
    paths: list[Path] = []

    def remember(path):
        paths.append(path)
        return file_sha256(path)

    monkeypatch.setattr(file_hash, "file_sha256", remember)
    return paths


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content * 1000)
    return path


def written_long_ago(path: Path) -> Path:
    os.utime(path, ns=(10**18, 10**18))
    return path


def test_it_is_computed_once(weights_file, folder, hashed):
    assert known_sha256(weights_file, folder) is None
    first = remembered_sha256(weights_file, folder)
    assert first == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert known_sha256(weights_file, folder) == first
    assert remembered_sha256(weights_file, folder) == first
    assert len(hashed) == 1
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_a_copy_has_the_same_and_other_weights_another(weights_file, folder, tmp_path):
    first = remembered_sha256(weights_file, folder)
    assert remembered_sha256(shutil.copy(weights_file, tmp_path / "copy"), folder) == first
    assert remembered_sha256(write(tmp_path / "other", b"others!"), folder) != first


def test_a_changed_file_is_hashed_anew(weights_file, folder):
    first = remembered_sha256(weights_file, folder)
    write(weights_file, b"others!")
    second = remembered_sha256(written_long_ago(weights_file), folder)
    assert second != first
    assert remembered_sha256(weights_file, folder) == second


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of the last change of anything")
def test_a_change_that_kept_size_and_time_is_seen(weights_file, folder):
    before = weights_file.stat()
    first = remembered_sha256(weights_file, folder)
    time.sleep(0.02)  # more than the resolution of a file system's clock
    with weights_file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(weights_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = weights_file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert remembered_sha256(weights_file, folder) != first


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, folder, hashed):
    path = write(tmp_path / "network.onnx", b"weights")
    remembered_sha256(path, folder)
    remembered_sha256(path, folder)
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
    first = remembered_sha256(weights_file, folder)
    (record,) = folder.iterdir()
    good = record.read_bytes()
    record.write_bytes(damaged(folder))
    assert remembered_sha256(weights_file, folder) == first
    assert len(hashed) == 2
    assert record.read_bytes() == good


def test_a_folder_that_cannot_be_written_is_no_error(weights_file, tmp_path):
    remembered_sha256(weights_file, tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(weights_file, folder):
    def replaced_meanwhile():
        write(weights_file, b"others!")
        return "ab" * 32

    assert remembered_sha256(weights_file, folder, replaced_meanwhile) == "ab" * 32
    assert list(folder.iterdir()) == []


def test_nor_one_that_was_opened_before_it_changed(weights_file, folder):
    stamp = file_stamp(weights_file)
    written_long_ago(write(weights_file, b"others!"))
    assert remembered_sha256(weights_file, folder, lambda: "ab" * 32, stamp=stamp) == "ab" * 32
    assert list(folder.iterdir()) == []


def test_kinds_of_hash_of_one_file_are_kept_apart(weights_file, folder):
    def part():
        return file_sha256(weights_file, start=10)

    whole = remembered_sha256(weights_file, folder)
    rest = remembered_sha256(weights_file, folder, part, kind="rest")
    assert rest == hashlib.sha256(weights_file.read_bytes()[10:]).hexdigest()
    assert known_sha256(weights_file, folder) == whole != rest
    assert known_sha256(weights_file, folder, kind="rest") == rest
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_is_not_there_is_an_error_and_has_no_stamp(tmp_path, folder):
    with pytest.raises(FileNotFoundError):
        remembered_sha256(tmp_path / "absent.onnx", folder)
    assert file_stamp(tmp_path / "absent.onnx") == file_stamp("a\0b") == ()


def test_whoever_has_no_time_stops_it(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(3 << 20))
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file_sha256(path, check=check)
    assert len(calls) == 2
