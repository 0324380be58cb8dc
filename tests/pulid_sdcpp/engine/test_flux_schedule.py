"""Flux's own noise schedule is the default of Flux models, wherever a picture is made.

`levels` is the definition, written down from black-forest-labs/flux, src/flux/sampling.py; a
picture with its numbers spelt out has to be the default picture, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import GenerationOptions, PulidFlux, StableDiffusion
from pulid_sdcpp.engine.binding_arguments import check_parts
from pulid_sdcpp.options.generation import SAMPLING_METHODS

SIZES = [(64, 64), (112, 48), (80, 128)]
LARGE = {"width": 640, "height": 512}
SMALL = {"width": 64, "height": 64}
MODELS = {"schnell": False, "dev": True}


def moved_by(width: int, height: int) -> float:
    """mu of a dev model: a straight line through (256 image tokens, 0.5) and (4096, 1.15)."""
    slope = (1.15 - 0.5) / (4096 - 256)
    return slope * (width // 16) * (height // 16) + (0.5 - slope * 256)


def levels(steps: int, mu: float) -> tuple[float, ...]:
    times = [1 - step / steps for step in range(steps)]
    return (*(math.exp(mu) / (math.exp(mu) + (1 / time - 1)) for time in times), 0.0)


@pytest.fixture(scope="module", params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def weights(kind: str, make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(depth=1, depth_single=1, hidden=128, guidance_embed=MODELS[kind])


@pytest.fixture(scope="module")
def engine(weights: dict[str, Path], load_engine: Any) -> Iterator[StableDiffusion]:
    with load_engine(weights, pulid=False, backend="cpu", n_threads=1) as loaded:
        yield loaded


def picture(engine: StableDiffusion, **arguments: Any) -> bytes:
    options = {"prompt": "a car", "sample_steps": 4, "cfg_scale": 1.0, "seed": 3, **SMALL}
    if sigmas := arguments.pop("sigmas", None):
        arguments["sigmas"] = ",".join(map(repr, sigmas))
    (image,) = engine.generate_image(**{**options, **arguments})
    return image.tobytes()


def mu_of(kind: str, width: int, height: int) -> float:
    return moved_by(width, height) if MODELS[kind] else 0.0


def gradient() -> Image.Image:
    rows, columns = np.indices((64, 64))
    return Image.fromarray(np.dstack([rows * 3, columns * 3, rows + columns]).astype(np.uint8))


def test_the_definition_has_the_published_figures() -> None:
    assert [moved_by(*size) for size in [(256, 256), (1024, 1024)]] == pytest.approx([0.5, 1.15])
    assert levels(4, 0.0) == pytest.approx((1, 0.75, 0.5, 0.25, 0))


@pytest.mark.engine
@pytest.mark.parametrize("size", SIZES)
def test_the_default_picture_has_the_levels_of_flux(
    kind: str, size: tuple[int, int], engine: StableDiffusion
) -> None:
    shape = {"width": size[0], "height": size[1]}
    default = picture(engine, **shape)
    assert picture(engine, sigmas=levels(4, mu_of(kind, *size)), **shape) == default
    assert picture(engine, scheduler="flux", **shape) == default
    assert picture(engine, scheduler="discrete", **shape) != default


@pytest.mark.engine
def test_a_large_picture_has_its_own_levels(kind: str, engine: StableDiffusion) -> None:
    """Seen in the latents of each step; decoding them takes long."""

    def previews(**arguments: Any) -> list[bytes]:
        seen: list[bytes] = []

        def look(step: int, images: list[Image.Image], is_noisy: bool) -> None:
            seen.append(images[0].tobytes())
            if step == 3:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            picture(engine, **LARGE, **arguments, preview_method="proj", preview_callback=look)
        return seen

    default = previews()
    assert default == previews(sigmas=levels(4, mu_of(kind, **LARGE)))
    same_as_a_small_one = previews(sigmas=levels(4, mu_of(kind, 64, 64))) == default
    assert same_as_a_small_one == (kind == "schnell")


@pytest.mark.engine
@pytest.mark.parametrize("steps", [1, 7])
def test_any_number_of_steps(kind: str, steps: int, engine: StableDiffusion) -> None:
    spelt_out = picture(engine, sample_steps=steps, sigmas=levels(steps, mu_of(kind, 64, 64)))
    assert picture(engine, sample_steps=steps) == spelt_out


@pytest.mark.engine
def test_it_is_the_default_of_every_sampling_method(engine: StableDiffusion) -> None:
    assert {engine.default_scheduler(method) for method in SAMPLING_METHODS} == {"flux"}


@pytest.mark.engine
@pytest.mark.parametrize("method", ["lcm", "ddim_trailing"])
def test_methods_that_had_another_default(kind: str, method: str, engine: StableDiffusion) -> None:
    spelt_out = picture(engine, sample_method=method, sigmas=levels(4, mu_of(kind, 64, 64)))
    assert picture(engine, sample_method=method) == spelt_out


@pytest.mark.engine
def test_flow_shift_is_mu(engine: StableDiffusion) -> None:
    default, moved = picture(engine), picture(engine, flow_shift=3.0)
    assert moved == picture(engine, sigmas=levels(4, 3.0))
    assert moved != default
    assert picture(engine) == default  # of the next picture nothing is left
    assert picture(engine, flow_shift=0.0) == picture(engine, sigmas=levels(4, 0.0))
    other = picture(engine, scheduler="discrete", flow_shift=3.0)
    assert other not in (moved, picture(engine, scheduler="discrete"))


@pytest.mark.engine
@pytest.mark.parametrize("strength", [0.3, 0.9])
def test_a_picture_to_start_from(kind: str, strength: float, engine: StableDiffusion) -> None:
    options = {"init_image": gradient(), "strength": strength, "sample_steps": 6}
    seen: list[int] = []
    default = picture(
        engine, **options, progress_callback=lambda step, steps, seconds: seen.append(steps)
    )
    made = GenerationOptions("", steps=6, init_image=gradient(), strength=strength).evaluated_steps
    assert set(seen) == {made}
    assert default == picture(engine, **options, sigmas=levels(6, mu_of(kind, 64, 64)))


@pytest.mark.engine
def test_a_reference_does_not_count(kind: str, engine: StableDiffusion) -> None:
    """Its tokens are not the picture's."""
    references = [gradient().resize((96, 64))]
    default = picture(engine, ref_images=references)
    spelt_out = levels(4, mu_of(kind, 64, 64))
    assert default == picture(engine, ref_images=references, sigmas=spelt_out)


@pytest.mark.engine
def test_the_second_pass_has_the_levels_of_its_own_size(kind: str, engine: StableDiffusion) -> None:
    second = {"hires": True, "hires_scale": 2.0, "hires_steps": 2, "hires_denoising_strength": 0.6}
    default = picture(engine, **second)
    first, larger = mu_of(kind, 64, 64), mu_of(kind, 128, 128)

    def spelt_out(mu_of_the_second: float) -> bytes:
        sigmas = levels(4, first)
        return picture(engine, **second, sigmas=sigmas, flow_shift=mu_of_the_second)

    assert default == spelt_out(larger)
    assert (default == spelt_out(first)) == (kind == "schnell")
    assert default != picture(engine, **second, sigmas=levels(4, first), scheduler="discrete")


@pytest.mark.engine
def test_a_step_cache_counts_in_this_schedule(kind: str, engine: StableDiffusion) -> None:
    """Its start and end are parts of the schedule, however that is moved."""
    cache = {
        "cache_mode": "easycache", "cache_reuse_threshold": 1000.0, "cache_start_percent": 0.5,
        "cache_end_percent": 1.0, "sample_steps": 12,
    }  # fmt: skip
    named = picture(engine, **cache, flow_shift=mu_of(kind, 64, 64))
    assert picture(engine, **cache) == named
    assert named != picture(engine, sample_steps=12)


@pytest.mark.engine
def test_pictures_of_a_pipeline_name_it(kind: str, weights: dict[str, Path]) -> None:
    from pulid_sdcpp import ContextOptions

    context = ContextOptions(
        diffusion_model_path=weights["flux-f16"], clip_l_path=weights["clip_l"],
        taesd_path=weights["taesd"], backend="cpu", n_threads=1,
    )  # fmt: skip
    with PulidFlux(context, settings={**SMALL, "steps": 3}) as pipeline:
        default = pipeline.generate("a car")
        sigmas = levels(3, mu_of(kind, 64, 64))
        assert default.image.tobytes() == pipeline.generate("a car", sigmas=sigmas).image.tobytes()
    assert default.metadata.values["Schedule type"] == "flux"


def test_another_model_is_refused() -> None:
    arguments = {
        "upscale_factor": 1, "pm_id_images": None, "cache_mode": "disabled", "hires": False,
        "control_image": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="'flux', which is for Flux models"):
        check_parts(arguments, GenerationOptions("", scheduler="flux"), {}, None)
    check_parts(arguments, GenerationOptions(""), {}, None)


@pytest.mark.engine
def test_an_unknown_sampling_method_is_refused(engine: StableDiffusion) -> None:
    with pytest.raises(ValueError, match="'best', but must be one of"):
        engine.default_scheduler("best")
