"""Presets for programs: listed, and pulled with the terms that are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from file_drafts import write_sdxl_pulid
from hub_server import HubServer
from pulid_sdcpp import DownloadError, LicenseError, PulidFlux, presets, pull_preset
from pulid_sdcpp.families.pulid_encoders import encoders_of_weights
from pulid_sdcpp.store.presets import PresetInfo

pytestmark = pytest.mark.usefixtures("own_preset")


def mine(extraction: bool = True) -> PresetInfo:
    return next(one for one in presets(extraction=extraction) if one.name == "mine")


def test_presets_say_what_there_is_and_what_is_missing(hub: HubServer) -> None:
    names = [one.name for one in presets()]
    assert {"pocket", "flux-schnell-q4", "mine"} <= set(names)
    found = mine()
    assert (found.what, dict(found.settings), found.complete) == ("my own", {"steps": 2}, False)
    assert dict(found.missing) == {"flux.gguf": 4, "eyes.pt": 6}
    assert (found.size_bytes, found.download_bytes) == (10, 10)
    terms = {one.key: one for one in found.licenses}
    assert (terms["some-terms"].commercial, terms["some-terms"].accepted) == (False, False)
    assert (terms["free"].commercial, terms["free"].accepted) == (True, True)
    assert terms["some-terms"].url == "https://example.org/terms"
    assert [one.key for one in mine(extraction=False).licenses] == ["free"]
    pocket = next(one for one in presets() if one.name == "pocket")
    assert (pocket.complete, pocket.licenses, pocket.download_bytes) == (True, (), 0)
    assert hub.requests == []


def test_a_preset_of_sdxl_takes_the_identities_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoders(name: str) -> tuple[str, ...]:
        found = presets(models_dirs=[tmp_path], extraction=False)
        return next(one.encoders for one in found if one.name == name)

    assert encoders("flux-schnell-q4") == ("flux",)
    assert encoders("sdxl-lightning-q4") == ("sdxl-v1", "sdxl-v1.1")  # not there yet
    weights = write_sdxl_pulid(tmp_path / "w.safetensors", "v1")
    monkeypatch.setattr(
        "pulid_sdcpp.store.presets.encoders_of_weights", lambda path: encoders_of_weights(weights)
    )
    with (tmp_path / "ip-adapter_pulid_sdxl_fp16.safetensors").open("wb") as file:
        file.truncate(791372856)  # as published
    assert encoders("sdxl-lightning-q4") == ("sdxl-v1",)


def test_terms_are_accepted_by_name_and_once(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(LicenseError, match=r"some-terms \(Somebody's terms https://ex.*=\['some-"):
        pull_preset("mine")
    with pytest.raises(DownloadError):  # its kind
        pull_preset("mine", accept_licenses=["free"])
    assert hub.content_requests() == []
    assert not mine().complete
    steps: list[tuple[str, int, int]] = []

    def on_progress(name: str, done: int, total: int) -> None:
        steps.append((name, done, total))

    pull_preset("mine", accept_licenses=["some-terms"], on_progress=on_progress)
    assert mine().complete
    assert mine().licenses[-1].accepted
    assert {("flux.gguf", 4, 4), ("eyes.pt", 6, 6)} <= set(steps)
    accepted = json.loads((tmp_path / "config" / "accepted-licenses.json").read_text())
    assert accepted == {"accepted": ["Somebody's terms https://example.org/terms"]}
    asked = len(hub.requests)
    pull_preset("mine")
    assert len(hub.requests) == asked


def test_without_the_files_for_photos_their_terms_are_not_asked_for() -> None:
    pull_preset("mine", extraction=False)
    assert mine(extraction=False).complete
    assert dict(mine().missing) == {"eyes.pt": 6}


@pytest.mark.parametrize(
    ("accepted", "words"),
    [
        (["other-terms"], "there is no license 'other-terms'; preset mine has"),
        ("some-terms", "a list"),
    ],
)
def test_terms_that_are_none_are_refused(accepted: list[str], words: str, hub: HubServer) -> None:
    with pytest.raises(ValueError, match=words):
        pull_preset("mine", accept_licenses=accepted)
    assert hub.content_requests() == []
    with pytest.raises(ValueError, match="there is no preset 'yours'"):
        pull_preset("yours")


def test_an_exception_of_the_listener_stops_it(hub: HubServer) -> None:
    def stop(name: str, done: int, total: int) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError):
        pull_preset("mine", accept_licenses=["some-terms"], on_progress=stop)
    assert not mine().complete
    pull_preset("mine")
    assert mine().complete


def test_a_pipeline_pulls_what_it_lacks(hub: HubServer) -> None:
    with pytest.raises(LicenseError):
        PulidFlux.from_preset("mine", pull=True)
    names: set[str] = set()
    with pytest.raises(
        ValueError, match="no text encoder"
    ):  # of a preset without one: all is there
        PulidFlux.from_preset(
            "mine",
            pull=True,
            accept_licenses=["some-terms"],
            on_pull=lambda name, done, total: names.add(name),
        )
    assert names == {"flux.gguf", "eyes.pt"}
    with PulidFlux.from_preset("pocket", pull=True) as pipeline:
        assert pipeline.preset == "pocket"
