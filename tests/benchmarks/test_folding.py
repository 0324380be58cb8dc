from __future__ import annotations

from pathlib import Path

import pytest

import folding
from pulid_sdcpp.families.sdxl.attention_layers import unet_attention_layers
from pulid_sdcpp.families.sdxl.unet_layout import UnetInfo
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from real_width_models import identity_files, pulid_weights, unet_pulid_weights
from standin import FluxShape


def results(folded_s: float, found_s: float) -> folding.Results:
    one = {"cpu_s": 0.8, "extra_mb": 62.0, "anonymous_mb": 50.0}
    return {
        (what, way): {**one, "s": seconds}
        for what in ("f16", "q8_0", "sdxl f16")
        for way, seconds in zip(folding.WAYS, (folded_s, 1.3, found_s), strict=True)
    }


@pytest.mark.parametrize(
    ("folded_s", "found_s", "met"),
    [(2.0, 0.06, (True, True)), (2.1, 0.02, (False, True)), (0.5, 0.07, (True, False))],
)
def test_the_targets_are_those_of_f16(
    folded_s: float, found_s: float, met: tuple[bool, bool]
) -> None:
    figures = folding.figures(results(folded_s, found_s))
    folded, extra, found, first = figures[:4]
    assert (folded.met, found.met) == met
    assert (extra.met, first.met) == (True, None)
    assert "50 MB of it anonymous" in extra.note
    assert [figure.met for figure in figures[4:8]] == [None] * 4


@pytest.mark.parametrize(
    ("folded_s", "found_s", "met"),
    [(1.0, 0.05, (True, True)), (1.1, 0.02, (False, True)), (0.5, 0.06, (True, False))],
)
def test_those_for_sdxl_are_shorter(
    folded_s: float, found_s: float, met: tuple[bool, bool]
) -> None:
    folded, extra, found, first = folding.figures(results(folded_s, found_s))[8:]
    assert (folded.met, found.met) == met
    assert (extra.met, first.met) == (True, None)


def test_the_ways_are_side_by_side() -> None:
    found = folding.comparison(results(0.5, 0.02))
    assert found.series == ("f16", "q8_0", "sdxl f16")
    assert found.rows[2] == ("from disk", (0.02, 0.02, 0.02))


def small_unet() -> UnetInfo:
    sizes = UnetSizes(model_channels=64, depths=(1, 1))
    return UnetInfo("", sizes, unet_attention_layers(dict(unet_tensor_shapes(sizes))))


@pytest.mark.parametrize("what", ["f16", "q8_0", "sdxl f16"])
def test_every_way_gives_the_same_layers(tmp_path: Path, what: str) -> None:
    weights = (
        unet_pulid_weights(tmp_path, small_unet())
        if what.startswith("sdxl")
        else pulid_weights(tmp_path, FluxShape(1, 1, 256), heads=2)
    )
    (identity,) = identity_files(tmp_path, ["alice"])
    cache = tmp_path / "cache"
    found = [folding.measure(weights, identity, cache, what, way) for way in folding.WAYS]
    assert found[0]["crc"] == found[1]["crc"] == found[2]["crc"]
    assert len(list(cache.glob("*.folded"))) == 1
    assert all(one["s"] > 0 and one["extra_mb"] >= 0 for one in found)
