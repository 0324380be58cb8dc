"""A second pass and upscaling models are planned at the size that they work at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from file_drafts import write_empty_safetensors
from pulid_sdcpp.memory.compute import esrgan_bytes
from pulid_sdcpp.memory.model import Measures, ModelSizes, PictureSizes, UpscalerSizes, phases
from pulid_sdcpp.memory.picture_sizes import picture_sizes
from pulid_sdcpp.memory.upscaling import upscaler_sizes
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from standin.esrgan import esrgan_weights

MODELS = ModelSizes(3072, 1000, 100, 100, 10, 10, 20, 30, 10, 50, 40, 128, False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for scale in (1, 2, 4):
        shapes = {name: value.shape for name, value in esrgan_weights(scale).items()}
        write_empty_safetensors(tmp_path / f"{scale}x.safetensors", shapes, fill=1)
    return tmp_path


@pytest.mark.parametrize(
    ("scale", "tile", "measured_mib"), [(4, 128, 416.19), (4, 64, 104.05), (2, 64, 26.05)]
)
def test_what_the_engine_said_it_allocates(scale: int, tile: int, measured_mib: float) -> None:
    """Of Real-ESRGAN's structures, on the CPU."""
    assert 0.98 * measured_mib < esrgan_bytes(tile, tile, scale) / (1 << 20) < 1.05 * measured_mib


def test_sizes_of_upscalers(folder: Path) -> None:
    def sizes(upscaler: str = "", **options: object) -> tuple[UpscalerSizes, ...]:
        context = ContextOptions(
            model_path="m", hires_upscalers_dir=folder,
            upscaler_path=folder / f"{upscaler}.safetensors" if upscaler else None,
        )  # fmt: skip
        return upscaler_sizes(context, GenerationOptions("", **options))  # type: ignore[arg-type]

    assert sizes() == ()
    (once,) = sizes("2x")
    assert once.stays
    assert once.buffer == esrgan_bytes(128, 128, 2)
    assert once.weights == 2 * sum(value.size for value in esrgan_weights(2).values())
    assert once.host == 512 * 512 * (1 + 4) * 18
    (twice,) = sizes("2x", upscale_repeats=2)
    assert twice.host == 4 * once.host
    (not_at_all,) = sizes("2x", upscale_repeats=0)
    assert (not_at_all.buffer, not_at_all.weights) == (0, once.weights)
    second, after = sizes("2x", hires=True, hires_upscaler="4x", hires_upscale_tile_size=64)
    assert not second.stays
    assert second.buffer == esrgan_bytes(64, 64, 4)
    assert after.host == 4 * once.host  # of the larger picture
    with pytest.raises(ValueError, match="hires_upscaler is 'none'"):
        sizes(hires=True, hires_upscaler="none")


def test_a_second_pass_counts_with_its_size() -> None:
    context = ContextOptions(model_path="m")
    plain = picture_sizes(context, GenerationOptions("", width=1024, height=1024))
    second = picture_sizes(context, GenerationOptions("", hires=True))
    assert second == plain
    assert not second.from_picture
    assert picture_sizes(context, GenerationOptions("", hires=True, hires_upscaler="Lanczos")) == (
        replace(plain, from_picture=True)
    )
    smaller = GenerationOptions("", width=1024, height=1024, hires=True, hires_scale=0.5)
    assert picture_sizes(context, smaller) == plain


def test_the_phase_of_enlarging() -> None:
    picture = PictureSizes(512, 512, upscalers=(UpscalerSizes(70, 400, 5000, True),))
    found = {phase.name: phase for phase in phases(MODELS, picture, Measures())}
    without = {phase.name: phase for phase in phases(MODELS, PictureSizes(512, 512), Measures())}
    assert found["denoise"].device_bytes == without["denoise"].device_bytes + 70
    assert found["upscale"].device_bytes == 1000 + 20 + 30 + 90 + 70 + 400
    assert found["upscale"].host_bytes == without["denoise"].host_bytes + 5000
    while_only = replace(picture, upscalers=(UpscalerSizes(70, 400, 0, False),))
    found = {phase.name: phase for phase in phases(MODELS, while_only, Measures())}
    assert found["denoise"] == without["denoise"]
    assert found["upscale"].device_bytes == 1000 + 20 + 30 + 90 + 70 + 400
