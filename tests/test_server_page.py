"""docs/server.md: its examples run as they stand, against a real server; what it lists exists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from PIL import Image

from page_examples import PROGRAM, ROOT, Block, commands, pocket_reader, read_blocks
from pulid_sdcpp.cli import main
from pulid_sdcpp.server.errors import STATUSES
from pulid_sdcpp.server.given_settings import given_settings
from pulid_sdcpp.system.user_config import CONFIG_NAME, load_user_config
from served import run_served

from .pulid_sdcpp.server.running import RunningServer, running_server

PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
BLOCKS = list(read_blocks(PAGE))
PRESET = "flux-schnell-q4"
ADDRESS = "http://127.0.0.1:7860"
# Scripts that are not run, by how they begin, and why.
NOT_RUN = {
    "python3 -m venv /opt": "a service of the whole computer; tests/test_deploy.py",
    "docker": "a container; tests/test_deploy.py",
}
# What clients ask for as they start, and the page.
NOT_LISTED = ("/sdapi/", "/internal/", "/app_id", "/queue/", "/ui/")
SIDE_PX = 128  # what the pocket model draws
# Every request must succeed, and says nothing else.
SHELL = 'set -euo pipefail; curl() { command curl -sS --fail-with-body "$@"; }\n'


def test_every_code_is_explained() -> None:
    table = PAGE.partition("| status | code |")[2].partition("\n\n")[0]
    shown = {
        code: row.split("|")[1]
        for row in table.splitlines()
        for code in re.findall(r"`([a-z0-9_]+)`", row.split("|")[2] if row.count("|") > 2 else "")
        if code != "param"
    }
    assert set(STATUSES) == shown.keys()
    for code, statuses in shown.items():
        assert str(STATUSES[code]) in statuses, code


def test_its_contents_are_its_chapters_in_order() -> None:
    contents, _, chapters = PAGE.partition("\n## ")
    listed = re.findall(r"^- \[(.+?)\]\(#", contents, re.MULTILINE)
    assert listed == re.findall(r"^## (.+)$", f"\n## {chapters}", re.MULTILINE)


def test_every_program_of_the_replayed_requests_is_explained() -> None:
    programs = PAGE.partition("## Programs that work with it")[2].partition("\n## ")[0]
    for name in ("Open WebUI", "SillyTavern", "sdcpp-webui", "mold"):
        assert re.search(rf"^\*\*{name}\*\*", programs, re.MULTILINE), name


def test_the_settings_of_its_file_are_settings(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if block.name == CONFIG_NAME)
    path = tmp_path / CONFIG_NAME
    path.write_text(block.text, encoding="utf-8")
    given = given_settings(load_user_config(path), {})
    assert given.preset == PRESET
    assert given.settings.port == (7860, 1234)
    assert (given.settings.limits.queue_size, given.settings.limits.keep_days) == (32, 7)


def test_what_is_not_run_is_still_shown() -> None:
    scripts = [block.text for block in BLOCKS if block.language == "bash"]
    assert all(any(text.startswith(begin) for text in scripts) for begin in NOT_RUN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A reader's, with photos and with the preset."""
    with pocket_reader(tmp_path) as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "served" / "data"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        run_own(["models", "pull", PRESET, "--yes", "--accept-licenses", "--quiet"])
        yield folder


@pytest.mark.engine
@pytest.mark.extract
@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the examples are for a shell")
def test_its_examples_work_from_top_to_bottom(folder: Path, tmp_path: Path) -> None:
    with running_server(tmp_path / "served", preset=PRESET) as server:
        names: dict[str, Any] = {}
        for block in BLOCKS:
            run(block, server, folder, names)
        check_what_was_made(server, folder)


def run(block: Block, server: RunningServer, folder: Path, names: dict[str, Any]) -> None:
    text = block.text.replace(ADDRESS, server.url)
    if block.language == "json":
        sized = re.sub(r'"(width|height)": \d+', rf'"\1": {SIDE_PX}', text)
        (folder / block.name).write_text(sized, encoding="utf-8")
    elif block.language == "python":
        exec(compile(text, f"line {block.line}", "exec"), names)
    elif block.language == "bash":
        if not any(text.startswith(begin) for begin in NOT_RUN):
            run_script(block, text, folder)
    elif block.language == "console":
        for words in commands(block):
            if words[:2] == [PROGRAM, "people"]:
                run_own(words[1:])
            elif "--api-key-file" in words:
                check_the_key(folder, words[2:])


def run_script(block: Block, text: str, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", SHELL + text],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, f"line {block.line}: {done.stdout}{done.stderr}"
    if "/v1/images/" in text:  # the answer has the picture's address
        (made,) = json.loads(done.stdout)["data"]
        assert httpx.get(made["url"]).headers["content-type"] == "image/png"


def run_own(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)


def check_the_key(folder: Path, flags: list[str]) -> None:
    """The command with its key file; at an address of this computer, as there may be no other."""
    key = (folder / "keys.txt").read_text().split()[-1]
    flags[flags.index("--preset") : flags.index("--preset") + 2] = []
    headers = {"PULID_SDCPP_API_KEY": ""}
    with running_server(
        folder / "keyed", *flags, preset=PRESET, environment=headers, is_ready=False
    ) as server:
        models = f"{server.url}/v1/models"
        assert httpx.get(models).status_code == 401
        for given in ({"Authorization": f"Bearer {key}"}, {"X-Api-Key": key}):
            assert httpx.get(models, headers=given).status_code == 200
        assert httpx.get(models, auth=("anybody", key)).status_code == 200


def check_what_was_made(server: RunningServer, folder: Path) -> None:
    run_own(["generate", "--from", "oil.png", "-o", "again.png", "--quiet"])
    with Image.open(folder / "oil.png") as first, Image.open(folder / "again.png") as again:
        assert first.tobytes() == again.tobytes()
    with Image.open(folder / "chess.png") as chess:
        assert chess.size == (SIDE_PX, SIDE_PX)
    events = re.findall(r"^event: (\w+)$", (folder / "events.txt").read_text(), re.MULTILINE)
    assert events[0] == "snapshot"
    assert events[-1] == "completed"
    answer = json.loads((folder / "answer.json").read_text())
    assert len(answer["images"]) == 1
    assert "pulid" in answer["info"]
    with server.client() as client:
        jobs = client.get("/sdcpp/v1/jobs").json()
    assert "failed" not in json.dumps(jobs)


def test_it_names_the_endpoints_of_each_family(tmp_path: Path) -> None:
    """What stands in the description for programs stands on the page; A1111's behind its dots."""
    listed = PAGE.partition("## Endpoints")[2].partition("\n## ")[0]
    found: dict[str, Any] = {}

    async def describe(client: httpx.AsyncClient, service: object) -> None:
        found.update((await client.get("/openapi.json")).json()["paths"])

    run_served(tmp_path, describe)
    last = {path: [part for part in path.split("/") if part[:1] != "{"][-1] for path in found}
    own = [path for path in found if not path.startswith(NOT_LISTED)]
    assert [path for path in own if last[path] not in listed] == []
    named = re.findall(r"`(?:[A-Z]+ )?(/[^` ]+)`", listed)
    known = [*(re.sub(r"\{\w+\}", "ID", path) for path in found), "/docs", "/openapi.json"]
    assert [name for name in named if not any(one.startswith(name) for one in known)] == []
