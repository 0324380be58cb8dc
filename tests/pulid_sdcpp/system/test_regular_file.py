from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pulid_sdcpp.system.regular_file import NotRegularError, open_regular, read_regular

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")


def refused(path: Path) -> str:
    reasons = set()
    for read in (open_regular, lambda path: read_regular(path, 9)):
        with pytest.raises(NotRegularError, match="expected a file") as raised:
            read(path)
        assert raised.value.filename == str(path)
        reasons.add(raised.value.strerror)
    (reason,) = reasons
    return str(reason)


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a\r\nb\x1ac")
    with open_regular(path) as file:
        assert file.read() == b"a\r\nb\x1ac"
    assert read_regular(path, 6) == b"a\r\nb\x1ac"


def test_a_file_of_more_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(2049))
    with pytest.raises(OSError, match="expected at most 2 KiB, found a larger file"):
        read_regular(path, 2048)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == "expected a file, found a folder"


@pipes
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "expected a file, found a named pipe"
    (tmp_path / "link").symlink_to("pipe")
    assert refused(tmp_path / "link") == "expected a file, found a named pipe"


@pipes
def test_nor_one_that_takes_the_place_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    stat = os.stat

    def stat_and_replace(*arguments: object, **options: object) -> os.stat_result:
        found = stat(*arguments, **options)  # type: ignore[arg-type]
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "stat", stat_and_replace)
    with pytest.raises(OSError, match="found a named pipe"):
        open_regular(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device files")
def test_a_device_is_refused() -> None:
    assert refused(Path("/dev/zero")) == "expected a file, found a device"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets with names here")
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # their names are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        assert refused(Path("s")) == "expected a file, found a socket"


@pipes
@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
def test_a_pipe_that_the_shell_opened_is_read_where_that_is_meant() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"abc")
        os.close(writing)
        path = Path(f"/dev/fd/{reading}")
        with pytest.raises(OSError, match="found a named pipe"):
            read_regular(path, 9)
        assert read_regular(path, 9, stream=True) == b"abc"
    finally:
        os.close(reading)


def test_what_is_absent_is_said_by_who_opens_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")
    with pytest.raises(ValueError, match="null"):
        open_regular("a\0b")
