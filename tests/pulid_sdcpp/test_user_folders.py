from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.user_folders import cache_folder


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
