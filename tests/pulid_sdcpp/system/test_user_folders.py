from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.system.user_folders import cache_folder, config_folder, data_folder


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, Path("~/.cache/pulid-sdcpp")),
        ("linux", {"XDG_CACHE_HOME": "/x"}, Path("/x/pulid-sdcpp")),
        ("linux", {"XDG_CACHE_HOME": "x"}, Path("~/.cache/pulid-sdcpp")),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, Path("~/Library/Caches/pulid-sdcpp")),
        ("win32", {"LOCALAPPDATA": "/l"}, Path("/l/pulid-sdcpp/Cache")),
        ("win32", {}, Path("~/AppData/Local/pulid-sdcpp/Cache")),
        ("linux", {"PULID_SDCPP_CACHE": "/own"}, Path("/own")),
        ("win32", {"PULID_SDCPP_CACHE": "/own"}, Path("/own")),
    ],
)
def test_the_cache_is_where_the_system_has_it(
    platform: str, environment: dict[str, str], expected: Path
) -> None:
    assert cache_folder(platform, environment) == expected.expanduser()


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, Path("~/.config/pulid-sdcpp")),
        ("linux", {"XDG_CONFIG_HOME": "/x"}, Path("/x/pulid-sdcpp")),
        ("linux", {"XDG_CONFIG_HOME": "x"}, Path("~/.config/pulid-sdcpp")),
        ("darwin", {}, Path("~/Library/Application Support/pulid-sdcpp")),
        ("win32", {"APPDATA": "/a"}, Path("/a/pulid-sdcpp")),
        ("win32", {}, Path("~/AppData/Roaming/pulid-sdcpp")),
        ("darwin", {"PULID_SDCPP_CONFIG": "/own"}, Path("/own")),
    ],
)
def test_the_config_is_where_the_system_has_it(
    platform: str, environment: dict[str, str], expected: Path
) -> None:
    assert config_folder(platform, environment) == expected.expanduser()


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, Path("~/.local/share/pulid-sdcpp")),
        ("linux", {"XDG_DATA_HOME": "/x"}, Path("/x/pulid-sdcpp")),
        ("linux", {"XDG_DATA_HOME": "x"}, Path("~/.local/share/pulid-sdcpp")),
        ("darwin", {}, Path("~/Library/Application Support/pulid-sdcpp")),
        ("win32", {"LOCALAPPDATA": "/l"}, Path("/l/pulid-sdcpp/Data")),
        ("win32", {}, Path("~/AppData/Local/pulid-sdcpp/Data")),
        ("win32", {"PULID_SDCPP_DATA": "/own"}, Path("/own")),
    ],
)
def test_what_the_user_keeps_is_where_the_system_has_it(
    platform: str, environment: dict[str, str], expected: Path
) -> None:
    assert data_folder(platform, environment) == expected.expanduser()
