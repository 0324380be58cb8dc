"""Files of wildcards, and the prompts that are written with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp import expand_prompt
from pulid_sdcpp.request.wildcards import Wildcards, WrittenPrompts, user_wildcards
from pulid_sdcpp.system.user_folders import config_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "animals").mkdir()
    (tmp_path / "place.txt").write_bytes("\ufeff# where\r\n\r\n  Zürich  \r\n".encode())
    (tmp_path / "animals" / "fish.txt").write_text("2::pike\n")
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    (tmp_path / "latin.txt").write_bytes(b"Z\xfcrich\n")
    return tmp_path


def test_a_wildcard_is_a_line_of_its_file(folder: Path) -> None:
    written = Wildcards([folder]).write({"prompt": "a __animals/fish__ in __place__"}, seed=3)
    assert written == WrittenPrompts(
        "a pike in Zürich", templates={"prompt": "a __animals/fish__ in __place__"}
    )


def test_what_has_no_choices_is_no_template(folder: Path) -> None:
    written = Wildcards([folder]).write({"prompt": r"\{a|b\}", "negative_prompt": "{c|c}"}, seed=3)
    assert written == WrittenPrompts("{a|b}", "c", {"negative_prompt": "{c|c}"})


def test_the_first_folder_counts(folder: Path) -> None:
    (folder / "animals" / "place.txt").write_text("home\n")
    both = Wildcards([folder / "absent", folder / "animals"]).and_in([folder])
    assert both.write({"prompt": "__place__, __animals/fish__"}, 1).prompt == "home, pike"


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("__plase__", r"prompt: there is no wildcard plase: no file plase.txt in .*; "
                      r"did you mean __place__\? for the text itself, write \\__plase__"),
        ("__../secret__", r"there is no wildcard ../secret"),
        ("__a/.hidden__", r"there is no wildcard a/.hidden"),
        ("__/etc/passwd__", r"there is no wildcard /etc/passwd"),
        ("__empty__", r"empty.txt have no line"),
        ("__latin__", r"latin.txt: expected UTF-8 text, found something else at byte 1"),
        ("{((((a:200)|((((a:200)}", r"prompt has the weight '200'"),
    ],
)  # fmt: skip
def test_a_mistake_is_said(folder: Path, prompt: str, words: str) -> None:
    (folder.parent / "secret.txt").write_text("secret\n")
    with pytest.raises(ValueError, match=words):
        Wildcards([folder]).write({"prompt": prompt}, 1)


def test_the_users_folders_are_those_of_the_config_file_and_one_beside_it(folder: Path) -> None:
    config = config_folder()
    (config / "wildcards").mkdir(parents=True)
    (config / "wildcards" / "own.txt").write_text("mine\n")
    (config / "config.toml").write_text(f"wildcards_dirs = ['{folder}']\n")
    assert user_wildcards().write({"prompt": "__own__, __place__"}, 1).prompt == "mine, Zürich"
    assert expand_prompt("__own__ {a|a}", 7) == "mine a"
    (folder / "animals" / "own.txt").write_text("theirs\n")
    assert expand_prompt("__own__", 7, wildcards_dirs=[folder / "animals"]) == "theirs"
