"""Every command and every Python example of README and docs: they parse, and they run.

They run as they stand, with a reader's own photos and model files; these are the pocket model's,
and where an example says how large a picture should be, it is one that this model draws.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import pulid_extractor
import pulid_sdcpp
from page_examples import (
    LANGUAGES,
    PAGES,
    PROGRAM,
    ROOT,
    Block,
    commands,
    pocket_reader,
    read_blocks,
    runnable_command,
    runnable_data,
    runnable_python,
)
from pulid_sdcpp import Identity
from pulid_sdcpp.cli import main
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, pocket_files
from pulid_sdcpp.store.registry import load_registry
from pulid_sdcpp.system.user_config import CONFIG_NAME, load_user_config

REQUIRE_POCKET = os.environ.get("PULID_REQUIRE_POCKET") == "1"
# Commands that are not run, by how they begin, and why.
NOT_RUN = {
    "doctor": "looks at the machine it runs on; tests/pulid_sdcpp/test_doctor.py",
    "demo": "35 pictures; tests/pulid_sdcpp/cli/test_demo.py",
    "ui": "a server and a browser; tests/browser",
    "serve": "a server; tests/test_server_page.py",
    "evaluate --pocket": "hundreds of pictures; tests/pulid_sdcpp/cli/test_evaluate.py",
}
OWN_TESTS = {"batch.md": "tests/test_batch_page.py", "server.md": "tests/test_server_page.py"}
# What installs or compiles is checked by tests/test_readme.py.
INSTALLERS = {"apt", "cd", "git", "make", "pip", "python", "python3", "source", "xcode-select"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks_of(page: Path, *languages: str) -> list[Block]:
    found = list(read_blocks(page.read_text(encoding="utf-8")))
    return [block for block in found if block.language in languages] if languages else found


def own_commands(page: Path) -> list[list[str]]:
    """Arguments of our program."""
    lines = [words for block in blocks_of(page, "console") for words in commands(block)]
    return [words[1:] for words in lines if words[0] == PROGRAM]


def is_run(arguments: list[str]) -> bool:
    return not any(" ".join(arguments).startswith(begin) for begin in NOT_RUN)


@each_page
def test_blocks_are_of_known_kinds(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"line {block.line}: {block.language!r}"
        for words in commands(block) if block.language == "console" else ():
            program = next(word for word in words if "=" not in word)
            assert program in {PROGRAM, *INSTALLERS}, f"line {block.line}: {program}"


@each_page
def test_commands_stand_in_console_blocks(page: Path) -> None:
    if page.name in ("cli.md", "api.md"):  # usage, written from the code
        return
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    assert not re.findall(rf"^    {PROGRAM} .*", text, re.MULTILINE)


@each_page
def test_a_command_parses_and_its_help_has_its_options(page: Path) -> None:
    for arguments in own_commands(page):
        command, path, context = main, [], click.Context(main, info_name=PROGRAM)
        rest = list(arguments)
        while isinstance(command, click.Group):
            path.append(rest.pop(0))
            found = command.get_command(context, path[-1])
            assert found is not None, path
            command, context = found, click.Context(found, parent=context)
        shown = CliRunner().invoke(main, [*path, "--help"]).output
        for option in filter(lambda word: re.fullmatch(r"--?[a-zA-Z][\w-]*", word), rest):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), option


def test_what_is_not_run_is_still_shown() -> None:
    shown = [" ".join(arguments) for page in PAGES for arguments in own_commands(page)]
    for begin in NOT_RUN:
        assert any(line.startswith(begin) for line in shown), begin


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pocket_reader(tmp_path_factory.mktemp("pages")) as folder:
        yield folder


@pytest.fixture
def folder(reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, as it is before a page is worked through."""
    copy = tmp_path / "reader"
    pocket_files()  # a page before may have cleared the cache, where the text encoder is
    shutil.copytree(reader, copy, copy_function=os.link)
    monkeypatch.chdir(copy)
    return copy


RUNS = [
    page
    for page in PAGES
    if page.name not in ("api.md", *OWN_TESTS)
    and (own_commands(page) or blocks_of(page, "python", "toml"))
]


@pytest.mark.engine
@pytest.mark.extract
@pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file() and not REQUIRE_POCKET,
    reason="the pocket model is not in this folder",
)
class TestRuns:
    @pytest.mark.parametrize("page", RUNS, ids=lambda page: page.name)
    def test_the_page_works_from_top_to_bottom(
        self, page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pulls = [
            words
            for words in own_commands(page)
            if words[:2] == ["models", "pull"] or "--pull" in words
        ]
        if pulls:  # it begins with nothing
            from huggingface_hub import constants

            monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder.parent / "hub"))
        names: dict[str, Any] = {}
        for block in blocks_of(page):
            if block.name:
                (folder / block.name).write_text(runnable_data(block.text), encoding="utf-8")
                if block.name == CONFIG_NAME:
                    load_registry(load_user_config(folder / block.name))
            elif block.language == "python":
                run_python(block, names, is_page_pulling=bool(pulls))
            elif block.language == "console":
                for words in commands(block):
                    if words[0] == PROGRAM and is_run(words[1:]):
                        run(words[1:], is_page_pulling=bool(pulls))
        if page.name == "identity-guide.md":
            check_the_metadata(page, folder)

    @pytest.mark.parametrize(
        "block", blocks_of(ROOT / "docs" / "api.md", "python"), ids=lambda block: block.line
    )
    def test_the_example_of_a_docstring_runs(self, block: Block, folder: Path) -> None:
        pull_presets(block.text)
        with pulid_sdcpp.PulidFlux.from_preset("pocket") as pipeline:
            names = {name: getattr(pulid_sdcpp, name) for name in pulid_sdcpp.__all__}
            names |= {name: getattr(pulid_extractor, name) for name in pulid_extractor.__all__}
            names |= {"pipeline": pipeline}
            names |= {who: pipeline.enroll(f"{who}.jpg") for who in ("alice", "bob")}
            if "recipe_from" in block.text:
                pull_presets('"flux-schnell-q4"')
                with pulid_sdcpp.PulidFlux.from_preset("flux-schnell-q4") as other:
                    other.generate("a portrait", names["alice"]).save("alice.png")
            names |= {"asyncio": asyncio, "threading": threading}
            # As in a notebook, where examples with `await` run as they stand.
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            code = compile(runnable_python(block.text), "api.md", "exec", flags)
            if not code.co_flags & inspect.CO_COROUTINE:
                exec(code, names)
            else:
                names["pipeline"] = pulid_sdcpp.AsyncPulidPipeline(pipeline)
                asyncio.run(eval(code, names))


def run(arguments: list[str], *, is_page_pulling: bool) -> None:
    """Run a command, and see that it has written what it was told to write."""
    if not is_page_pulling:
        pull_presets(" ".join(f'"{word}"' for word in arguments))
    done = CliRunner().invoke(main, runnable_command(arguments), input="y\n" * 5)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    if "-o" in arguments:
        written = arguments[arguments.index("-o") + 1]
        assert "{" in written or Path(written).exists(), arguments
    if arguments[0] == "generate" and "-o" not in arguments:
        assert Path("output.png").exists()


def run_python(block: Block, names: dict[str, Any], *, is_page_pulling: bool) -> None:
    if not is_page_pulling:
        pull_presets(block.text)
    exec(compile(runnable_python(block.text), f"line {block.line}", "exec"), names)


def pull_presets(text: str) -> None:
    """Get the published presets that an example names, as its reader has done before."""
    for name, preset in load_registry().presets.items():
        if f'"{name}"' in text and not preset.packaged:
            arguments = ["models", "pull", name, "--yes", "--accept-licenses", "--quiet"]
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, done.output


def check_the_metadata(page: Path, folder: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made = sorted(folder.glob("*.pulidembd"))
    assert len(made) > 3
    for key in {key for path in made for key in Identity.load(path).metadata}:
        assert f"`pulid.{key}`" in text, key
