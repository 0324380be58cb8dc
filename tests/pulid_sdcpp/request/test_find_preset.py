from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.request.find_preset import find_preset
from pulid_sdcpp.store import model_store
from pulid_sdcpp.store.model_store import PresetFiles


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a preset was looked up with."""
    found: list[tuple[Any, ...]] = []

    def resolve(name: str, models_dirs: Any, *, without: Any, **_: Any) -> PresetFiles:
        found.append((name, models_dirs, set(without)))
        return PresetFiles(name, extractor={"eva": Path("eva"), "pulid_weights": Path("pulid")})

    monkeypatch.setattr(model_store, "resolve_preset", resolve)
    return found


def test_what_is_given_is_not_looked_for(looked_up: list[tuple[Any, ...]]) -> None:
    given = {"vae_path": "mine", "t5xxl_path": "mine", "prompt": "a", "steps": 3, "output": "a"}
    find_preset("tiny", ("folder",), given)
    # With an autoencoder of one's own, the preset's tiny one would be preferred.
    assert looked_up == [("tiny", ("folder",), {"vae_path", "t5xxl_path", "taesd_path"})]


def test_the_extractor_has_the_weights_that_are_given(looked_up: list[tuple[Any, ...]]) -> None:
    assert find_preset("tiny", (), {}).extractor["pulid_weights"] == Path("pulid")
    files = find_preset("tiny", (), {"pulid_weights": Path("mine")})
    assert files.extractor == {"eva": Path("eva"), "pulid_weights": Path("mine")}
