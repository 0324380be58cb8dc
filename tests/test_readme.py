"""README against the code: what it installs, which files it names, which commands it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from page_examples import PROGRAM, commands, read_blocks
from pulid_extractor import PUBLISHED
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
QUICK_START = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")


def command_lines(page: str) -> list[list[str]]:
    blocks = [block for block in read_blocks(page) if block.language == "console"]
    return [words for block in blocks for words in commands(block)]


def test_the_main_commands_are_shown() -> None:
    shown = {words[1] for words in command_lines(README) if words[0] == PROGRAM}
    assert {"generate", "doctor", "plan"} <= shown


@pytest.mark.parametrize("page", [README, QUICK_START], ids=["README", "quick-start"])
def test_what_is_installed_with_exists(page: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {words[1] for words in command_lines(page) if words[0] == "make"} <= set(targets)
    build = (ROOT / "native" / "build_info.cmake").read_text()
    options = re.findall(r"-D(SD_\w+)=ON", page)
    assert options
    for option in options:
        assert option in build, option
    extras = re.findall(r"\[(extract|reference|test|dev)\]", page)
    assert extras
    assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras)


def test_the_files_to_get_are_those_looked_for() -> None:
    for role in ("detector", "recogniser", "eva", "parsing", "pulid"):
        published = PUBLISHED[role]
        folder = published.folders[0]
        name = published.names[0]
        assert f"`{folder}/{name}`" in MODELS or f"`{name}`" in MODELS, name
        assert published.repository.removeprefix("the releases of ") in MODELS


def test_the_pocket_model_has_one_size_everywhere() -> None:
    manifest = json.loads((PACK_FOLDER / MANIFEST_NAME).read_text(encoding="utf-8"))
    sizes = {entry["name"]: entry["size"] for entry in manifest["files"]}
    sdxl = sizes.pop("sdxl.gguf")
    size = f"{sum(sizes.values()) / 1e6:.0f} MB"
    for name in ("README.md", "CHANGELOG.md", "docs/pocket.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"complete PuLID-Flux of (\d+ MB)", page) == [size], name
    for name in ("CHANGELOG.md", "docs/pocket.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        assert f"SDXL of {sdxl / 1e6:.0f} MB" in page, name
