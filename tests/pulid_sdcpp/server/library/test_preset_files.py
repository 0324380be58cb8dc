"""Presets as clients see them; their licenses, downloads, checks and removal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer
from pulid_sdcpp.errors import GenerationCancelled
from pulid_sdcpp.server.calls.preset_download import DownloadProgress, PresetDownload
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.library.preset_files import (
    check_licenses,
    known_preset,
    preset_views,
    removed_files,
    verified_files,
)

pytestmark = pytest.mark.usefixtures("own_preset")


def views(**how: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in preset_views((), **how)}


def test_a_preset_says_what_is_missing_and_what_for(hub: HubServer, tmp_path: Path) -> None:
    found = views(default="pocket", loaded=("pocket",))
    mine = found["mine"]
    assert {name: mine[name] for name in ("complete", "loaded", "default", "settings")} == {
        "complete": False, "loaded": False, "default": False, "settings": {"steps": 2},
    }  # fmt: skip
    assert mine["missing"] == [
        {"file": "flux.gguf", "bytes": 4, "photos_only": False},
        {"file": "eyes.pt", "bytes": 6, "photos_only": True},
    ]
    assert mine["download_bytes"] == 10
    assert {"key": "some-terms", "name": "Somebody's terms", "url": "https://example.org/terms",
            "commercial": False, "accepted": False} in mine["licenses"]  # fmt: skip
    pocket = found["pocket"]
    assert (pocket["complete"], pocket["loaded"], pocket["default"]) == (True, True, True)
    assert str(tmp_path) not in json.dumps(found)
    assert hub.requests == []


def test_terms_are_accepted_by_their_keys() -> None:
    mine = known_preset("mine", ())
    with pytest.raises(ApiError, match=r"some-terms \(Somebody's terms https") as error:
        check_licenses(mine, ())
    assert (error.value.code, error.value.status) == ("forbidden", 403)
    with pytest.raises(ApiError, match="did you mean some-terms") as error:
        check_licenses(mine, ["some-term"])
    assert error.value.code == "invalid_value"
    check_licenses(mine, ["some-terms"])
    check_licenses(known_preset("mine", (), photos=False), ())
    with pytest.raises(ApiError) as error:
        known_preset("mime", ())
    assert (error.value.code, error.value.status) == ("model_not_found", 404)


def test_a_download_says_how_far_it_is(hub: HubServer) -> None:
    told: list[DownloadProgress] = []
    download = PresetDownload("mine", (), accept_licenses=("some-terms",), on_progress=told.append)
    assert download.run() == {"preset": "mine", "files": 2, "bytes": 10}
    assert (told[-1].file, told[-1].number, told[-1].files) == ("eyes.pt", 2, 2)
    assert (told[-1].done_bytes, told[-1].total_bytes) == (10, 10)
    assert views()["mine"]["complete"]
    assert views()["mine"]["missing"] == []
    check_licenses(known_preset("mine", ()), ())
    again = PresetDownload("mine", ())
    assert again.run() == {"preset": "mine", "files": 0, "bytes": 0}


def test_without_the_files_for_photos(hub: HubServer) -> None:
    assert PresetDownload("mine", (), photos=False).run()["bytes"] == 4
    assert views()["mine"]["complete"]
    assert [one["photos_only"] for one in views()["mine"]["missing"]] == [True]


def test_a_stopped_download_keeps_what_has_arrived(hub: HubServer, tmp_path: Path) -> None:
    hub.add("a/flux/flux.gguf", bytes(3 << 20))
    download = PresetDownload(
        "mine", (), photos=False, on_progress=lambda progress: download.stop()
    )
    with pytest.raises(GenerationCancelled):
        download.run()
    parts = [path for path in tmp_path.rglob("*.incomplete") if path.is_file()]
    assert len(parts) == 1
    assert not views()["mine"]["complete"]
    assert PresetDownload("mine", (), photos=False).run()["files"] == 1


def test_checking_and_removing(hub: HubServer, tmp_path: Path) -> None:
    assert {one["state"] for one in verified_files("mine", ())} == {"missing"}
    PresetDownload("mine", (), accept_licenses=("some-terms",)).run()
    rows = verified_files("mine", ())
    assert [(one["file"], one["state"]) for one in rows] == [("flux.gguf", "ok"), ("eyes.pt", "ok")]
    assert {one["state"] for one in verified_files("pocket", ())} == {"ok"}
    files = (path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink())
    (blob,) = [path for path in files if path.read_bytes() == b"eyes!!"]
    blob.write_bytes(b"wrong!")
    wrong = {one["file"]: one for one in verified_files("mine", ())}["eyes.pt"]
    assert (wrong["state"], wrong["problem"]) == ("wrong", "it is damaged, or another file")
    gone = removed_files("mine", ())
    assert (sorted(gone["removed"]), gone["freed_bytes"]) == (["eyes.pt", "flux.gguf"], 10)
    assert removed_files("mine", ()) == {"removed": [], "kept": [], "freed_bytes": 0}
