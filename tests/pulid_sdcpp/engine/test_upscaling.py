"""Finished pictures are enlarged by an ESRGAN, as its definition says, and that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp import ContextOptions, GenerationError, ProgressEvent, PulidFlux, StableDiffusion
from pulid_sdcpp.engine.upscaling import check_upscaled_size
from standin.esrgan import esrgan, esrgan_weights, write_esrgan

Load = Callable[..., StableDiffusion]
PICTURE = {"width": 32, "height": 32, "sample_steps": 1, "cfg_scale": 1.0, "seed": 5}
SETTINGS = {"width": 32, "height": 32, "steps": 1, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upscalers")
    for scale in (1, 2, 4):
        write_esrgan(folder / f"{scale}x.safetensors", esrgan_weights(scale, seed=scale))
    return folder


def context_of(weights: dict[str, Path], **options: Any) -> ContextOptions:
    return ContextOptions(
        diffusion_model_path=weights["flux-f16"], clip_l_path=weights["clip_l"],
        taesd_path=weights["taesd"], backend="cpu", n_threads=2, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(standin_weights: dict[str, Path], folder: Path) -> Iterator[PulidFlux]:
    with PulidFlux(context_of(standin_weights, hires_upscalers_dir=folder)) as pipeline:
        yield pipeline


@pytest.mark.engine
@pytest.mark.parametrize(("scale", "repeats"), [(4, 1), (2, 2), (2, 0)])
def test_it_is_what_the_definition_says(
    standin_weights: dict[str, Path], folder: Path, plain: PulidFlux, scale: int, repeats: int
) -> None:
    expected = np.asarray(plain.generate("a car", **SETTINGS).image).astype(np.float32)
    for _ in range(repeats):
        expected = esrgan(esrgan_weights(scale, seed=scale), expected.round().astype(np.uint8))
    context = context_of(standin_weights, upscaler_path=folder / f"{scale}x.safetensors")
    events: list[ProgressEvent] = []
    with PulidFlux(context) as pipeline:
        result = pipeline.generate(
            "a car", **SETTINGS, upscale_repeats=repeats, on_event=events.append
        )
    made = np.asarray(result.image).astype(np.float32)
    assert made.shape == expected.shape == (32 * scale**repeats, 32 * scale**repeats, 3)
    # Half-precision convolutions, whose sums have hundreds of terms, and rounding to bytes.
    difference = np.abs(made - expected).max()
    assert difference <= 2 * repeats, difference
    assert made.std() > 10 or repeats == 0
    assert [event.stage for event in events].count("upscale") == repeats
    values = result.metadata.values
    assert values["Upscaler"] == f"{scale}x.safetensors"
    assert len(values["Upscaler hash"]) == 10
    assert values.get("Upscale repeats") == (None if repeats == 1 else str(repeats))
    assert values["Size"] == "32x32"


@pytest.mark.engine
def test_tiles_show_no_seams(
    standin_weights: dict[str, Path], folder: Path, load_engine: Load
) -> None:
    """Of a model that sees 16 pixels around each, in tiles of 48; and it stops between two."""
    picture = {**PICTURE, "width": 64}
    with load_engine(standin_weights, backend="cpu", n_threads=2) as engine:
        (image,) = engine.generate_image("a car", **picture)
    expected = esrgan(esrgan_weights(2, seed=2), np.asarray(image.convert("RGB")))
    options = {"upscaler_path": folder / "2x.safetensors", "upscale_tile_size": 48}
    seen: list[ProgressEvent] = []
    with load_engine(standin_weights, backend="cpu", n_threads=2, **options) as engine:
        from pulid_sdcpp.options.generation import GenerationOptions

        asked = GenerationOptions("a car", width=64, height=32, steps=1, seed=5)
        (made,) = engine.generate(asked, on_event=seen.append)
        tiles = max(event.steps for event in seen if event.stage == "upscale")
        assert tiles > 1

        def stop(event: ProgressEvent) -> None:
            if (event.stage, event.step) == ("upscale", 1):
                engine.cancel()

        with pytest.raises(GenerationError, match="cancelled"):
            engine.generate(asked, on_event=stop)
        (again,) = engine.generate(asked)
    assert again.tobytes() == made.tobytes()
    assert made.size == (128, 64)
    difference = np.abs(np.asarray(made).astype(np.float32) - expected)
    assert difference.mean() < 2, difference.mean()
    assert difference.max() < 40, difference.max()


@pytest.mark.engine
def test_a_second_pass_enlarges_with_a_model(plain: PulidFlux, folder: Path) -> None:
    asked = {**SETTINGS, "hires": True, "hires_denoising_strength": 0.3}
    results = [
        plain.generate("a car", hires_upscaler=name, **asked)
        for name in ("2x", "Lanczos", str(folder / "2x.safetensors"))
    ]
    assert {result.image.size for result in results} == {(64, 64)}
    pictures = [result.image.tobytes() for result in results]
    assert len(set(pictures)) == 2
    assert pictures[0] == pictures[2]
    assert results[0].metadata.values["Hires upscaler"] == "2x"
    assert len(results[0].metadata.values["Hires upscaler hash"]) == 10
    with pytest.raises(ValueError, match=r"hires_upscaler is '2y'.*did you mean 2x\?"):
        plain.generate("a car", hires_upscaler="2y", **asked)


def test_a_picture_that_no_program_opens_is_refused() -> None:
    check_upscaled_size((1024, 1024), 4, 1)
    check_upscaled_size((2048, 2048), 4, 1)
    with pytest.raises(GenerationError, match="16384x16384; 89 million pixels"):
        check_upscaled_size((1024, 1024), 4, 2)
