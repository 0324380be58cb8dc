"""Change the patches of the engine: as a git repository with one commit for each of them.

    python native/patch_series.py apply      # make patches-apply: writes build/patches
    python native/patch_series.py refresh    # make patches-refresh: writes native/patches again

Between the two, change build/patches/ with git: amend a commit, add one, reorder or drop some. A
commit's subject is "NAME: what it does", and its last paragraph begins "Can go when:". Needs git
and patch-ng; building the engine needs no git (prepare_source.py).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import prepare_source

ROOT = prepare_source.NATIVE.parent
PATCHES = prepare_source.NATIVE / "patches"
TREE = ROOT / "build" / "patches"
SOURCE_TAG = "source"
# A patch says nothing of who wrote it last, or when: that is in this repository's history.
AUTHOR = "The pulid-sdcpp authors <authors@pulid-sdcpp.invalid>"
DATE = "Thu, 1 Jan 2026 00:00:00 +0000"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LAST_PARAGRAPH = "Can go when:"
# Bytes and modes stay as they are, in the user's own git commands, too.
TREE_SETTINGS = {"core.autocrlf": "false", "core.fileMode": "false", "core.safecrlf": "false"}
# For our commands, whatever the user's settings are.
SETTINGS = {
    "core.hooksPath": os.devnull,
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "user.name": "pulid-sdcpp",
    "user.email": "authors@pulid-sdcpp.invalid",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "diff.renames": "false",
    "diff.algorithm": "myers",
    "diff.indentHeuristic": "true",
    "diff.interHunkContext": "0",
    "am.threeWay": "false",
    "apply.whitespace": "nowarn",
    "format.pretty": "medium",
}
# Little context keeps a patch applicable to the engine's next version.
FORMAT = (
    "--unified=1",
    "--full-index",
    "--zero-commit",
    "--no-signature",
    "--no-stat",
    "--no-numbered",
    "--no-attach",
    "--no-thread",
    "--no-cover-letter",
    "--no-base",
    "--no-notes",
    "--no-ext-diff",
    "--no-textconv",
    "--binary",
    "--subject-prefix=PATCH",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("apply", "refresh"))
    parser.add_argument("--tree", type=Path, default=TREE, help="not given: build/patches")
    arguments = parser.parse_args()
    if arguments.what == "apply":
        apply(PATCHES, arguments.tree)
    else:
        refresh(arguments.tree, PATCHES)


def apply(patches: Path, tree: Path) -> None:
    """Make a repository of the pinned source, tagged `source`, with a commit for each patch.

    A tree that is there is made anew, unless it has something that `patches` lacks.
    """
    series = sorted(patches.glob("*.patch"))
    if tree.exists():
        if not (tree / ".git").is_dir():
            sys.exit(f"{tree} is no repository, as after an interruption; delete it")
        _check_git_has_finished(tree)
        if _is_dirty(tree) or _formatted(tree) != {one.name: one.read_bytes() for one in series}:
            sys.exit(
                f"{tree} is not what the patches make: write its commits back first with "
                "`make patches-refresh`, or delete it"
            )
        shutil.rmtree(tree, onerror=_delete_read_only)
    start(tree)
    if series:
        _git(
            tree,
            "am",
            "--quiet",
            "--keep-cr",
            "--committer-date-is-author-date",
            *map(str, (one.resolve() for one in series)),
        )
    print(f"{tree}: {len(series)} commits on the tag `{SOURCE_TAG}`")


def _check_git_has_finished(tree: Path) -> None:
    """In the midst of `git am` or a rebase, the commits that are still to come look deleted."""
    if any((tree / ".git" / name).exists() for name in ("rebase-apply", "rebase-merge")):
        sys.exit(
            f"{tree}: git has not finished; `git am --continue` or `git rebase --continue` first, "
            "or delete it"
        )


def start(tree: Path) -> None:
    """Make a repository of the pinned source alone."""
    unpack_source(tree)
    _git(tree, "init", "--quiet", "--initial-branch=patches")
    for key, value in TREE_SETTINGS.items():
        _git(tree, "config", key, value)
    # The source has a .gitattributes of its own.
    (tree / ".git" / "info" / "attributes").write_text("* -text !eol !ident !filter\n")
    commit(tree, "The engine's pinned source")
    _git(tree, "tag", SOURCE_TAG)


def commit(tree: Path, message: str) -> None:
    """Commit all that is in a tree, files that are ignored, too."""
    _git(tree, "add", "--all", "--force")
    _git(tree, "commit", "--quiet", "--no-verify", "--message", message)


def refresh(tree: Path, patches: Path) -> None:
    """Write the commits of a tree as the patches, and check that these make the same tree."""
    if not (tree / ".git").is_dir():
        sys.exit(f"{tree} is not there: `make patches-apply` makes it")
    if _is_dirty(tree):
        sys.exit(f"{tree} has changes that are in no commit")
    _check_git_has_finished(tree)
    series = _formatted(tree)
    with tempfile.TemporaryDirectory(dir=tree.parent, ignore_cleanup_errors=True) as folder:
        written = Path(folder) / "patches"
        written.mkdir()
        for name, text in series.items():
            (written / name).write_bytes(text)
        _check(tree, sorted(written.iterdir()), Path(folder) / "engine")
    before = {one.name: one.read_bytes() for one in patches.glob("*.patch")}
    for name in before.keys() - series.keys():
        (patches / name).unlink()
        print(f"removed {name}")
    for name, text in series.items():
        if before.get(name) != text:
            (patches / name).write_bytes(text)
            print(f"wrote {name}")


def unpack_source(folder: Path) -> None:
    """The engine's pinned source, without the stumps of repositories that its sdist has."""
    pin = prepare_source.read_pin()
    # Where a build has put it.
    built = sorted(ROOT.glob(f"build/*/{prepare_source.sdist_name(pin)}"))
    sdist = prepare_source.find_sdist(pin, built[0].parent if built else ROOT / "build")
    prepare_source.unpack(sdist, folder)
    for stump in [*folder.rglob(".git")]:
        shutil.rmtree(stump) if stump.is_dir() else stump.unlink()


def _formatted(tree: Path) -> dict[str, bytes]:
    """The patches that the commits of a tree are, by name."""
    commits = _git(tree, "rev-list", "--reverse", f"{SOURCE_TAG}..HEAD").split()
    return dict(_formatted_one(tree, commit, i) for i, commit in enumerate(commits, 1))


def _formatted_one(tree: Path, commit: str, number: int) -> tuple[str, bytes]:
    message = _git(tree, "show", "--no-patch", "--format=%B", commit).strip()
    name, colon, _ = message.partition(":")
    last = message.rpartition("\n\n")[2]
    if not colon or not NAME.fullmatch(name) or not last.startswith(LAST_PARAGRAPH):
        sys.exit(
            f'{commit[:12]}: expected a subject such as "log: nothing is printed" and a last '
            f'paragraph that begins "{LAST_PARAGRAPH}", found:\n\n{message}'
        )
    if re.search(r"^(--- |\+\+\+ |@@|diff |Index: )", message, re.MULTILINE):
        sys.exit(f"{commit[:12]}: a line of the message could be taken for a patch")
    text = _run(tree, "format-patch", "--stdout", *FORMAT, "-1", commit)
    for field, value in (("From", AUTHOR), ("Date", DATE)):
        line = re.compile(rf"^{field}: .*".encode(), re.MULTILINE)
        text = line.sub(f"{field}: {value}".encode(), text, count=1)
    return f"{number:04}-{name}.patch", text.rstrip(b"\n") + b"\n"


def _check(tree: Path, series: list[Path], scratch: Path) -> None:
    """The patches, applied as the build does it, make the tree that git has."""
    unpack_source(scratch)
    for patch in series:
        prepare_source.apply_patch(patch, scratch)
    listed = set(_git(tree, "ls-files", "-z").split("\0")) - {""}
    made = {one.relative_to(scratch).as_posix() for one in scratch.rglob("*") if one.is_file()}
    different = listed ^ made | {
        name
        for name in listed & made
        if (tree / name).read_bytes() != (scratch / name).read_bytes()
    }
    if different:
        sys.exit(
            "the build would not make the tree's files of these patches: "
            + ", ".join(sorted(different)[:10])
        )


def _is_dirty(tree: Path) -> bool:
    return bool(_git(tree, "status", "--porcelain", "--untracked-files=normal"))


def _git(tree: Path, *arguments: str) -> str:
    return _run(tree, *arguments).decode("utf-8")


def _run(tree: Path, *arguments: str) -> bytes:
    settings = [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for who in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{who}_DATE"] = DATE
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=tree, env=environment, capture_output=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)} failed:\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def _delete_read_only(function: object, path: str, error: object) -> None:
    """Git's objects are read-only, which Windows does not delete."""
    os.chmod(path, 0o700)
    (os.rmdir if os.path.isdir(path) else os.unlink)(path)


if __name__ == "__main__":
    main()
