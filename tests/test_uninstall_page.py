"""docs/uninstall.md: every place where something is kept, as the program has them."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

import pytest

from pulid_sdcpp.store.kept_files import kept_files
from pulid_sdcpp.system.user_folders import cache_folder, config_folder, data_folder

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "uninstall.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].partition(":")[0]: [cell.strip("`") for cell in cells[1:]]
    for cells in (
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAGE.splitlines()
        if line.startswith("| ") and line.count("|") == 5
    )
}


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("cache", cache_folder),
        ("people kept by name, personal data", data_folder),
        ("settings", config_folder),
    ],
)
def test_the_places_are_those_of_each_system(
    monkeypatch: pytest.MonkeyPatch, row: str, place: object
) -> None:
    monkeypatch.setenv("HOME", "/me")
    monkeypatch.setenv("USERPROFILE", "/me")
    environment = {"LOCALAPPDATA": "%LOCALAPPDATA%", "APPDATA": "%APPDATA%"}
    for shown, platform in zip(ROWS[row], ("linux", "darwin", "win32"), strict=True):
        found = place(platform, environment)  # type: ignore[operator]
        expected = PureWindowsPath(shown) if platform == "win32" else Path(shown)
        parts = expected.parts
        home = ("/", "me") if parts[0] == "~" else parts[:1]
        assert found.parts == (*home, *parts[1:]), platform


def test_every_folder_of_the_cache_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    inside = {kept.folder.name for kept in kept_files() if kept.folder.parent == cache_folder()}
    assert explained == {*inside, "models"}
    (cells,) = re.findall(r"^\| cache: (.+?) \| ", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", cells)) == explained


def test_no_other_place_is_written_to() -> None:
    """Whoever makes a new one has to say so on the page."""
    root = Path(__file__).resolve().parents[1]
    sources = [*root.glob("pulid_sdcpp/**/*.py"), *root.glob("extractor/pulid_extractor/*.py")]
    text = "".join(
        path.read_text(encoding="utf-8") for path in sources if "_vendor" not in path.parts
    )
    used = set(re.findall(r'(?:cache|config|data)_folder\(\) / "?([\w-]+)', text))
    explained = {"identities", "folded", "hashes", "pocket", "models", "people", "wildcards"}
    assert used == {*explained, "CONFIG_NAME", "_NAME"}
    for name in explained:
        assert f"`{name}`" in PAGE, name
    assert set(re.findall(r"mkdtemp\(prefix=\"([\w-]+)-\"", text)) == {"pulid-sdcpp-loras"}
