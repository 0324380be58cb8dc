"""A pipeline for one family takes that family's presets only; the general one takes all."""

from __future__ import annotations

import pytest

from pulid_sdcpp import ModelFileError, PulidFlux, PulidPipeline, PulidSdxl
from pulid_sdcpp.store import registry


@pytest.fixture
def sdxl_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a published preset for SDXL."""
    monkeypatch.setattr(registry, "OFFERED_FAMILIES", registry.FAMILIES)
    presets = registry.load_registry().presets.values()
    return next(one.name for one in presets if one.family == "sdxl")


def test_another_family_s_preset_is_refused_before_anything_is_downloaded(sdxl_preset: str) -> None:
    with pytest.raises(ValueError, match=r"use PulidSdxl, or PulidPipeline"):
        PulidFlux.from_preset(sdxl_preset, pull=True)
    with pytest.raises(ValueError, match=r"flux-schnell-q4 is not for PulidSdxl: use PulidFlux"):
        PulidSdxl.from_preset("flux-schnell-q4", pull=True)


@pytest.mark.parametrize("pipeline", [PulidSdxl, PulidPipeline])
def test_its_own_is_looked_for(sdxl_preset: str, pipeline: type[PulidPipeline]) -> None:
    with pytest.raises(ModelFileError, match="missing model files"):
        pipeline.from_preset(sdxl_preset)


@pytest.mark.usefixtures("own_preset")
def test_a_preset_of_the_user_s_is_for_flux_unless_it_says_else() -> None:
    with pytest.raises(ModelFileError, match="missing model files"):
        PulidFlux.from_preset("mine")
    with pytest.raises(ValueError, match="mine is not for PulidSdxl"):
        PulidSdxl.from_preset("mine")
