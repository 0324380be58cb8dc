"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from pulid_sdcpp.atomic_file import atomic_file, check_writable
from pulid_sdcpp.errors import OutputFileError


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "file"
    with atomic_file(path) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a longer old content")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"a longer old content"
    assert path.read_bytes() == b"new"


def write_half(path: Path, error: BaseException) -> None:
    with atomic_file(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyboardInterrupt()])
def test_nothing_is_left_when_the_block_raises(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_nothing_left(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputFileError, match=r"cannot write .*file: No space left on device"):
        write_half(tmp_path / "file", full)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_flush_is_told_and_nothing_left(tmp_path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputFileError, match="cannot write"), atomic_file(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_refused_early(tmp_path):
    with pytest.raises(OutputFileError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputFileError, match=r"the folder .*missing does not exist"):
        check_writable(tmp_path / "missing" / "file")
    check_writable(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    # Root may write anywhere, so the answer of the system is put in its mouth.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputFileError, match="is read-only"), atomic_file(tmp_path / "file"):
        pytest.fail("the block was entered")


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    path = tmp_path / "file"
    umask = os.umask(0o027)
    try:
        with atomic_file(path):
            pass
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    with atomic_file(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_very_long_name_still_has_a_temporary_one(tmp_path):
    path = tmp_path / ("x" * 250)
    with atomic_file(path) as file:
        file.write(b"1")
    assert path.read_bytes() == b"1"
