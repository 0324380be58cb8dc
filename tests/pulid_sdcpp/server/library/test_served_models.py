"""The models of a server, and whose identities each takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from file_drafts import write_empty_safetensors, write_sdxl_pulid
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.server.library import served_models
from pulid_sdcpp.server.library.served_models import ServedModels
from pulid_sdcpp.store.presets import PresetInfo


def info(name: str, family: str, encoders: tuple[str, ...], **missing: int) -> PresetInfo:
    return PresetInfo(name, "what", "for whom", {}, 1, missing, (), family, encoders)


@pytest.fixture(autouse=True)
def some_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        info("dev", "flux", ("flux",)),
        info("lightning", "sdxl", ("sdxl-v1",)),
        info("base", "sdxl", ("sdxl-v1", "sdxl-v1.1"), weights=1),
    )
    monkeypatch.setattr(served_models, "presets", lambda **_: found)


def test_a_preset_takes_the_identities_of_its_weights() -> None:
    models = ServedModels("lightning")
    assert models.encoders("dev") == ("flux",)
    assert models.encoders("lightning") == ("sdxl-v1",)
    assert models.encoders("base") == ("sdxl-v1", "sdxl-v1.1")  # may be planned before it is there
    assert models.encoders("gpt-image-1") == ("sdxl-v1",)
    models.switch("dev")
    assert models.encoders("") == ("flux",)


def test_weights_that_are_named_count_for_the_first_model_only(tmp_path: Path) -> None:
    weights = write_sdxl_pulid(tmp_path / "w.safetensors", "v1.1")
    models = ServedModels("lightning", {"pulid_weights": weights})
    assert models.encoders("lightning") == ("sdxl-v1.1",)
    assert models.encoders("dev") == ("flux",)


@pytest.mark.parametrize(("version", "encoders"), [("v1", ("sdxl-v1",)), ("", ())])
def test_a_model_of_files(tmp_path: Path, version: str, encoders: Any) -> None:
    context = {"model_path": str(tmp_path / "m.safetensors")}
    if version:
        context["pulid_weights"] = str(write_sdxl_pulid(tmp_path / "w.safetensors", version))
    models = ServedModels("", context)
    assert models.default == "m"
    assert models.encoders("m") == models.encoders("dev") == encoders


def test_an_sdxl_model_of_files_without_pulid_weights_has_its_own_sizes(tmp_path: Path) -> None:
    unet = tmp_path / "m.safetensors"
    write_empty_safetensors(unet, dict(unet_tensor_shapes(UnetSizes(32, (1, 1)))))
    models = ServedModels("", {"diffusion_model_path": unet})
    assert models.encoders("m") == ()
    assert models.size_multiple("m") == 64
    assert ServedModels("dev").size_multiple("dev") == 16
    assert ServedModels("dev").size_multiple("lightning") == 64
