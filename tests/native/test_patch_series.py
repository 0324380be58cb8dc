"""The patches of the engine as files, and as a git repository in which they are changed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "native"))  # scripts, which import each other

import patch_series  # noqa: E402
import prepare_source  # noqa: E402

PATCHES = sorted((ROOT / "native" / "patches").glob("*.patch"))
SOURCE = {
    "unix.c": b"one\ntwo\nthree\nfour\nfive\n",
    "windows.c": b"one\r\ntwo\r\nthree\r\nfour\r\nfive\r\n",
    "ignored.log": b"nothing\n",
    ".gitignore": b"*.log\n",
    ".gitattributes": b"* text=auto\n",
}
REASON = "\n\nCan go when: upstream counts so.\n"

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def message(patch: Path) -> tuple[str, str]:
    """Subject, without the tag, and the rest."""
    head = patch.read_bytes().partition(b"\ndiff --git ")[0].decode()
    fields, _, body = head.partition("\n\n")
    found = re.search(r"^Subject: \[PATCH\] (.*(?:\n .*)*)", fields, re.MULTILINE)
    assert found is not None
    return found[1].replace("\n", ""), body.strip()


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_patch_says_what_it_is_for_and_when_it_can_go(patch: Path) -> None:
    subject, body = message(patch)
    name, _, what = subject.partition(": ")
    assert patch.name == f"{PATCHES.index(patch) + 1:04}-{name}.patch"
    assert body.rpartition("\n\n")[2].startswith("Can go when: ")
    page = (ROOT / "native" / "README.md").read_text(encoding="utf-8")
    assert f"| {patch.stem} | {what} |" in page


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_patch_says_nothing_of_a_machine_or_a_day(patch: Path) -> None:
    lines = patch.read_bytes().split(b"\n", 3)[:3]
    assert lines == [
        b"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001",
        f"From: {patch_series.AUTHOR}".encode(),
        f"Date: {patch_series.DATE}".encode(),
    ]


def test_no_other_patch_is_named() -> None:
    page = (ROOT / "native" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d{4}-\S+)", page, re.MULTILINE) == [path.stem for path in PATCHES]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of another source, small, without a commit of ours."""
    pytest.importorskip("patch_ng")

    def unpack(folder: Path) -> None:
        folder.mkdir(parents=True)
        for name, text in SOURCE.items():
            (folder / name).write_bytes(text)

    monkeypatch.setattr(patch_series, "unpack_source", unpack)
    folder = tmp_path / "tree"
    patch_series.start(folder)
    return folder


def change(tree: Path, name: str, old: bytes, new: bytes, message: str) -> None:
    text = (tree / name).read_bytes()
    assert text.count(old) == 1
    (tree / name).write_bytes(text.replace(old, new))
    patch_series.commit(tree, message)


@needs_git
def test_commits_become_patches_and_the_same_commits_again(tree: Path, tmp_path: Path) -> None:
    patches = tmp_path / "patches"
    patches.mkdir()
    (patches / "0007-former.patch").write_text("dropped\n")
    change(tree, "unix.c", b"two", b"2", f"two: count in figures{REASON}")
    change(tree, "windows.c", b"four", b"4", f"the-four: and there{REASON}")
    change(tree, "ignored.log", b"nothing", b"some", f"log: what git ignores{REASON}")
    patch_series.refresh(tree, patches)
    written = {path.name: path.read_bytes() for path in patches.iterdir()}
    assert sorted(written) == ["0001-two.patch", "0002-the-four.patch", "0003-log.patch"]
    assert b" one\n-two\n+2\n three\n" in written["0001-two.patch"]
    assert b"@@ -1,3 +1,3 @@" in written["0001-two.patch"]  # one line of context
    again = tmp_path / "again"
    patch_series.apply(patches, again)
    for name in SOURCE:
        assert (again / name).read_bytes() == (tree / name).read_bytes()
    assert (again / "windows.c").read_bytes() == b"one\r\ntwo\r\nthree\r\n4\r\nfive\r\n"
    patch_series.refresh(again, patches)
    assert {path.name: path.read_bytes() for path in patches.iterdir()} == written
    patch_series.apply(patches, again)  # nothing would be lost


@needs_git
@pytest.mark.parametrize("left", ["rebase-apply", "rebase-merge"])
def test_commits_that_git_has_still_to_make_are_not_taken_for_deleted(
    tree: Path, tmp_path: Path, left: str
) -> None:
    patches = tmp_path / "patches"
    patches.mkdir()
    (patches / "0001-two.patch").write_text("not in the tree yet\n")
    (tree / ".git" / left).mkdir()
    for call in (
        lambda: patch_series.refresh(tree, patches),
        lambda: patch_series.apply(patches, tree),
    ):
        with pytest.raises(SystemExit, match="--continue"):
            call()
    assert (patches / "0001-two.patch").exists()


@needs_git
def test_what_is_in_no_patch_is_not_thrown_away(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "patches").mkdir()
    (tree / "unix.c").write_bytes(b"new\n")
    with pytest.raises(SystemExit, match="make patches-refresh"):
        patch_series.apply(tmp_path / "patches", tree)
    with pytest.raises(SystemExit, match="in no commit"):
        patch_series.refresh(tree, tmp_path / "patches")
    patch_series.commit(tree, f"new: something{REASON}")
    with pytest.raises(SystemExit, match="make patches-refresh"):
        patch_series.apply(tmp_path / "patches", tree)
    assert (tree / "unix.c").read_bytes() == b"new\n"


@needs_git
@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("two: no reason to go", "Can go when"),
        (f"Two Words: count{REASON}", "such as"),
        (f"count in figures{REASON}", "such as"),
        (f"two: count\n\n--- a/unix.c{REASON}", "taken for a patch"),
    ],
)
def test_a_message_that_says_too_little_is_refused(
    tree: Path, tmp_path: Path, said: str, wrong: str
) -> None:
    (tmp_path / "patches").mkdir()
    change(tree, "unix.c", b"two", b"2", said)
    with pytest.raises(SystemExit, match=wrong):
        patch_series.refresh(tree, tmp_path / "patches")
    assert not [*(tmp_path / "patches").iterdir()]


@needs_git
def test_patches_that_the_build_would_read_otherwise_are_not_written(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patches").mkdir()
    change(tree, "unix.c", b"two", b"2", f"two: count in figures{REASON}")
    apply_patch: Callable[[Path, Path], None] = lambda patch, root: None  # noqa: E731
    monkeypatch.setattr(prepare_source, "apply_patch", apply_patch)
    with pytest.raises(SystemExit, match=r"would not make the tree's files.*unix\.c"):
        patch_series.refresh(tree, tmp_path / "patches")
    assert not [*(tmp_path / "patches").iterdir()]


@needs_git
def test_the_patches_make_the_same_source_with_git_and_in_the_build(tmp_path: Path) -> None:
    pytest.importorskip("patch_ng")
    name = prepare_source.sdist_name(prepare_source.read_pin())
    if "PULID_SDCPP_ENGINE_SDIST" not in os.environ and not [*ROOT.glob(f"build/*/{name}")]:
        pytest.skip("the engine was not built in this folder")
    tree = tmp_path / "tree"
    patch_series.apply(ROOT / "native" / "patches", tree)
    built = tmp_path / "built"
    patch_series.unpack_source(built)
    for patch in PATCHES:
        prepare_source.apply_patch(patch, built)
    files = [path.relative_to(built) for path in built.rglob("*") if path.is_file()]
    assert len(files) > 1000
    for name in files:
        assert (tree / name).read_bytes() == (built / name).read_bytes(), name
