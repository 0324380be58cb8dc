"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from pulid_sdcpp.errors import OutputExistsError, OutputFileError
from pulid_sdcpp.system.atomic_file import (
    atomic_file,
    atomic_path,
    check_new,
    check_writable,
    private_folder,
)


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_private_file_is_the_users_own_at_every_moment(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o666)
    for _ in range(2):  # over a file that others may read, and over its own
        with atomic_file(path, private=True):
            assert [mode_of(part) for part in tmp_path.glob(".*.part")] == [0o600]
        assert mode_of(path) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_that_replaces_one_is_never_open_to_more_people(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for mode in (0o640, 0o400, 0o666):
        path.chmod(mode)
        with atomic_file(path):
            assert all(mode_of(part) & ~mode & 0o077 == 0 for part in tmp_path.glob(".*.part"))
        assert mode_of(path) == mode


def test_the_umask_of_the_process_is_never_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("all threads have but one"))
    for private in (False, True):
        with atomic_file(tmp_path / "file", private=private):
            pass


def test_a_new_file_replaces_none(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=r"it exists; name another file.*--overwrite"):
        check_new(path)
    with pytest.raises(OutputExistsError), atomic_file(path, overwrite=False) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    check_new(tmp_path / "free")


def test_for_who_writes_by_name_there_is_a_path(tmp_path):
    path = tmp_path / "file.gguf"
    with atomic_path(path, suffix=".part.gguf") as temporary:
        assert temporary.suffix == ".gguf"
        temporary.write_bytes(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("char", ["\x1b", "\x7f", "\x9b", "\u202e", "\n"])
def test_a_name_with_control_characters_is_refused(tmp_path, char):
    with pytest.raises(OutputFileError, match=f"control character U\\+{ord(char):04X}") as caught:
        check_writable(tmp_path / f"a{char}.png")
    assert char not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_private_folder_is_closed_to_others_with_the_files_in_it(tmp_path):
    folder = tmp_path / "new" / "ours"
    assert private_folder(folder, "*.face") == folder
    assert mode_of(folder) == 0o700
    for name in ("a.face", "other"):
        (folder / name).touch()
        (folder / name).chmod(0o664)
    folder.chmod(0o777)
    private_folder(folder, "*.face")
    assert [mode_of(path) for path in (folder, folder / "a.face", folder / "other")] == [
        0o700, 0o600, 0o664,
    ]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_behind_a_link_only_our_files_are_closed(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "a.face").touch()
    (tmp_path / "ours").symlink_to(shared)
    private_folder(tmp_path / "ours", "*.face")
    assert mode_of(shared) == 0o777
    assert mode_of(shared / "a.face") == 0o600


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_very_long_name_still_has_a_temporary_one(tmp_path):
    path = tmp_path / ("x" * 250)
    with atomic_file(path) as file:
        file.write(b"1")
    assert path.read_bytes() == b"1"
