"""Names of files that are written: fit for every system, and none that is taken or read from."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.system import atomic_file as atomic_module
from pulid_sdcpp.system.atomic_file import atomic_file
from pulid_sdcpp.system.output_names import (
    check_is_no_input,
    folded,
    is_device_name,
    save_under_free_name,
    unfit_name,
)


@pytest.mark.parametrize("name", ["alice.png", "caf\u00e9", "\u732b.png", "a b", "comx",
                                  "console.png", "\u0915\u094d\u200d\u0937.png"])  # fmt: skip
def test_an_ordinary_name_is_fit(name: str) -> None:
    assert unfit_name(name) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty or begins with a dot"),
        (".a", "empty or begins with a dot"),
        ("a ", "a space"),
        ("a.", "ends with a dot"),
        ("a:b", "Windows"),
        ("a\x1b[2Jb", "U+001B"),
        ("a\x7f", "U+007F"),
        ("a\x9b", "U+009B"),
        ("gnp.\u202egnp", "U+202E"),
        ("a\u2028b", "U+2028"),
        ("a\nb", "U+000A"),
        ("x" * 201, "longer than 200 bytes"),
    ],
)
def test_a_name_that_some_system_cannot_have_is_not(name: str, words: str) -> None:
    assert words in unfit_name(name)


@pytest.mark.parametrize("name", ["con", "NUL.txt", "Aux", "prn.a.b", "com1",
                                  "LPT0.png", "COM\u00b9.png", "lpt\u00b2", "com\u00b3",
                                  "CONIN$", "conout$.x"])  # fmt: skip
def test_devices_of_windows_are_known(name: str) -> None:
    assert is_device_name(name)
    assert "Windows" in unfit_name(name)


def test_what_a_file_system_may_take_for_one_name_is_one() -> None:
    assert folded("Stra\u00dfe-\u00e9.png") == folded("STRASSE-e\u0301.png")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_file_that_is_read_is_known_by_any_path(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"1")
    (tmp_path / "link.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    for name in ("a.png", "../" + tmp_path.name + "/a.png", "link.png", "hard.png"):
        with pytest.raises(ValueError, match="is a file that is read; name another"):
            check_is_no_input(tmp_path / name, [None, tmp_path / "absent", photo])
    check_is_no_input(tmp_path / "b.png", [photo])
    check_is_no_input(tmp_path / "absent", [tmp_path / "absent"])


def write_new(path: Path) -> None:
    with atomic_file(path, overwrite=False) as file:
        file.write(str(os.getpid()).encode())


def test_the_next_free_name_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.b.png"
    names = [save_under_free_name(path, write_new).name for _ in range(3)]
    assert names == ["a.b.png", "a.b-2.png", "a.b-3.png"]
    (tmp_path / "a.b-2.png").unlink()
    assert save_under_free_name(path, write_new).name == "a.b-2.png"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out.png").symlink_to(tmp_path / "elsewhere")
    assert save_under_free_name(tmp_path / "out.png", write_new).name == "out-2.png"
    assert not (tmp_path / "elsewhere").exists()


def test_a_name_taken_while_it_is_written_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = atomic_module._place_new

    def place_late(temporary: Path, target: Path) -> None:
        if target.name == "out.png":
            target.write_bytes(b"another's")
        place(temporary, target)

    monkeypatch.setattr(atomic_module, "_place_new", place_late)
    assert save_under_free_name(tmp_path / "out.png", write_new).name == "out-2.png"
    assert (tmp_path / "out.png").read_bytes() == b"another's"
    assert sorted(os.listdir(tmp_path)) == ["out-2.png", "out.png"]


def test_a_file_system_without_links_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    names = [save_under_free_name(tmp_path / "out.png", write_new).name for _ in range(2)]
    assert names == ["out.png", "out-2.png"]
    assert sorted(os.listdir(tmp_path)) == ["out-2.png", "out.png"]
    assert (tmp_path / "out.png").read_bytes()


def test_thousands_of_taken_names_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda path: True)
    with pytest.raises(OutputFileError, match="names are taken"):
        save_under_free_name(tmp_path / "out.png", write_new)


def _save_many(path: Path) -> None:
    for _ in range(20):
        save_under_free_name(path, write_new)


def test_processes_do_not_overwrite_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_save_many, args=(tmp_path / "o.png",)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert len(written) == 40
    assert sorted(map(written.count, set(written))) == [20, 20]
