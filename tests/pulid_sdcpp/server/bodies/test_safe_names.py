"""Names that would be paths, and links that lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.bodies.safe_names import (
    file_called,
    known_name,
    name_of_person,
    person_in_path,
    plain_name,
)
from pulid_sdcpp.server.errors import ApiError

SUFFIXES = (".safetensors", ".gguf")
PATHS = [
    "", ".", "..", "../x", "..\\x", "a/b", "a\\b", "/etc/passwd", "C:", "C:x", "C:\\x", "x:stream",
    "\\\\server\\share", "//server/share", "x\0", "\0", "x\n", "x\n.gguf", ".hidden", "a..b",
    "%2e%2e%2fx", "..%2f", "~", "~root", "$HOME", "x*", "x?", "<x>", "x|y", '"x"', "x;y", "x,y",
    " x", "x ", "x.", "con", "NUL", "com1.safetensors", "aux.gguf", "lpt9", "x" * 101, "é",
    "x\u202ey", "\uff0e\uff0e\uff0fx", "\u2024\u2024/x", "x\u2215y", "\ud800", "x\ty",
]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["a", "flux-dev-q4", "Add detail v1.2+fix_b", "x" * 100, "comet", "1"]
)
def test_names_that_are_taken(name: str) -> None:
    assert plain_name(name, param="lora") == name


@pytest.mark.parametrize("name", PATHS, ids=ascii)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ApiError, match="not a path") as caught:
        plain_name(name, param="lora[0].path")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "lora[0].path")


@pytest.mark.parametrize("name", [None, 1, b"x", ["x"], {"x": 1}, Path("x")])
def test_names_are_text(name: object) -> None:
    for check in (plain_name, name_of_person, person_in_path):
        with pytest.raises(ApiError) as caught:
            check(name, param="model")
        assert caught.value.code == "invalid_value"
    with pytest.raises(ApiError):
        known_name(name, ["x"], param="model")


@given(st.text(max_size=20) | st.text("./\\:~ a\0", max_size=12))
def test_a_name_that_is_taken_has_no_part_that_is_a_folder(name: str) -> None:
    try:
        taken = plain_name(name, param="x")
    except ApiError:
        return
    assert Path(taken).name == taken
    assert not set(taken) & set("/\\:\0")


@pytest.mark.parametrize("name", ["Rose", "Zoë", "李雷", "Anna Maria"])
def test_people_have_names_of_any_script(name: str) -> None:
    assert name_of_person(name, param="identity") == name


@pytest.mark.parametrize("name", ["", "../rose", "a/b", "a\\b", "C:", "x\0", ".rose", "x" * 101,
                                  "con", "rose.pulidembd", "~rose", "x\u202e"])  # fmt: skip
def test_people_have_no_paths(name: str) -> None:
    with pytest.raises(ApiError, match="identity: ") as caught:
        name_of_person(name, param="identity")
    assert caught.value.code == "invalid_value"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("rose", "rose"),
        ("rose.pulidembd", "rose"),
        ("rose.GGUF", "rose"),
        ("/models/people/rose.pulidembd", "rose"),
        ("C:\\people\\Rose Red.gguf", "Rose Red"),
        ("../../rose", "rose"),
        ("../../etc/passwd", "passwd"),
    ],
)
def test_of_a_path_only_the_last_name_counts(path: str, name: str) -> None:
    assert person_in_path(path, param="x") == name


@pytest.mark.parametrize("path", ["", "/", "rose/", "..", "a/..", "rose.pulidembd.gguf", "a/x:y"])
def test_a_path_without_a_name_is_refused(path: str) -> None:
    with pytest.raises(ApiError):
        person_in_path(path, param="x")


def test_a_name_among_others() -> None:
    known = ["flux-dev-q4", "pocket", "Rose"]
    assert known_name("pocket", known, param="model") == "pocket"
    assert known_name("ROSE", known, param="model") == "Rose"
    with pytest.raises(ApiError, match="did you mean flux-dev-q4") as caught:
        known_name("flux_dev_q4x", known, param="model", code="model_not_found")
    assert (caught.value.status, caught.value.param) == (404, "model")
    with pytest.raises(ApiError, match="there are: flux-dev-q4, pocket, Rose"):
        known_name("../../etc/passwd", known, param="model")
    with pytest.raises(ApiError, match="there is no 'x'"):
        known_name("x", [], param="model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "loras"
    (home / "inner").mkdir(parents=True)
    for name in ("ink.safetensors", "old.gguf", "both.gguf", "both.safetensors", "notes.txt"):
        (home / name).write_bytes(b"x")
    (home / "inner" / "deep.safetensors").write_bytes(b"x")
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    return home


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ink", "ink.safetensors"),
        ("ink.safetensors", "ink.safetensors"),
        ("old", "old.gguf"),
        ("both", "both.safetensors"),
        ("both.gguf", "both.gguf"),
    ],
)
def test_a_file_of_a_name(folder: Path, name: str, file: str) -> None:
    assert file_called(name, folder, SUFFIXES, param="x") == (folder / file).resolve()


@pytest.mark.parametrize(
    "name", ["pen", "notes", "notes.txt", "inner", "deep", "secret", "x" * 100]
)
def test_what_is_not_in_the_folder(folder: Path, name: str) -> None:
    assert file_called(name, folder, SUFFIXES, param="x") is None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert file_called("ink", tmp_path / "none", SUFFIXES, param="x") is None


@pytest.mark.parametrize("name", PATHS, ids=ascii)
def test_no_path_leads_to_a_file(folder: Path, name: str) -> None:
    with pytest.raises(ApiError):
        file_called(name, folder, SUFFIXES, param="x")


def test_links_stay_in_the_folder(folder: Path, tmp_path: Path) -> None:
    try:
        (folder / "out.safetensors").symlink_to(tmp_path / "secret.safetensors")
        (folder / "down.safetensors").symlink_to(folder / "inner" / "deep.safetensors")
        (folder / "same.safetensors").symlink_to(folder / "ink.safetensors")
        (folder / "gone.safetensors").symlink_to(folder / "nothing.safetensors")
        (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("links need a right that this user does not have")
    for name in ("out", "down"):
        with pytest.raises(ApiError, match="a link out of its folder") as caught:
            file_called(name, folder, SUFFIXES, param="x")
        assert str(tmp_path) not in caught.value.message
    real = (folder / "ink.safetensors").resolve()
    assert file_called("same", folder, SUFFIXES, param="x") == real
    assert file_called("ink", tmp_path / "link", SUFFIXES, param="x") == real
    assert file_called("gone", folder, SUFFIXES, param="x") is None
