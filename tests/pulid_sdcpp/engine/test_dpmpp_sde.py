"""The sampler dpm++sde in the engine: its pictures, its steps, and what else happens in them.

Docs: docs/combinations.md. Its update alone: tests/native/test_sampler.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import GenerationCancelled, GenerationOptions, Identity, Person, StableDiffusion
from pulid_sdcpp.engine.interface import Preview
from pulid_sdcpp.native.progress_event import ProgressEvent
from standin import make_sdxl_standin_weights

pytestmark = pytest.mark.engine

SIDE = 64
SIZES = {"depth": 3, "depth_single": 5, "hidden": 128}
STEPS = 4
MakeIdentity = Callable[[int], Identity]


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(**SIZES)


@pytest.fixture(scope="module")
def engine(weights: dict[str, Path], load_engine: Callable[..., Any]) -> Iterator[StableDiffusion]:
    with load_engine(weights, n_threads=1, backend="cpu", rng_type="cpu") as loaded:
        yield loaded


def pixels(
    engine: StableDiffusion,
    *people: Person,
    on_event: Callable[[ProgressEvent], object] | None = None,
    preview: Preview | None = None,
    **options: Any,
) -> np.ndarray:
    made = {
        "prompt": "a car", "width": SIDE, "height": SIDE, "steps": STEPS, "seed": 3,
        "sampling_method": "dpm++sde",
    }  # fmt: skip
    generation = GenerationOptions(**{**made, **options})
    (picture,) = engine.generate(generation, people, on_event=on_event, preview=preview)
    return np.asarray(picture.convert("RGB")).astype(np.float32)


@pytest.mark.parametrize("eta", [1.0, 0.5, 0.0])
def test_a_picture_is_that_of_the_definition(
    engine: StableDiffusion, weights: dict[str, Path], make_identity: MakeIdentity, eta: float
) -> None:
    """With a person from the second step on; the noise is torch's."""
    pytest.importorskip("torch")
    from definition.picture import picture

    alice = make_identity(1)
    expected = {
        start: picture(
            weights, "a car", width=SIDE, height=SIDE, steps=STEPS, seed=3, sde_eta=eta,
            identities=[(alice.tokens, 1.0)], identity_steps=range(start, STEPS),
        )
        for start in (1, 2)
    }  # fmt: skip
    found = pixels(engine, Person(alice, start_step=1), eta=eta)
    distances = [float(np.abs(found - one).mean()) for one in expected.values()]
    print(f"mean difference {distances[0]:.3f}; person a step later: {distances[1]:.3f}")
    assert distances[0] < 0.6  # half of it is rounding to whole numbers
    assert distances[1] > 2 * distances[0]


def test_eta_is_1_unless_another_is_asked_for(engine: StableDiffusion) -> None:
    default = pixels(engine)
    assert np.array_equal(default, pixels(engine, eta=1.0))
    assert np.abs(default - pixels(engine, eta=0.5)).mean() > 0.5


def test_without_noise_it_is_dpmpp_2s(engine: StableDiffusion) -> None:
    other = pixels(engine, sampling_method="dpm++2s_a", eta=0.0)
    assert np.abs(pixels(engine, eta=0.0) - other).max() <= 1


def test_a_seed_is_a_picture(engine: StableDiffusion) -> None:
    first = pixels(engine)
    assert np.array_equal(first, pixels(engine))
    assert np.abs(first - pixels(engine, seed=4)).mean() > 0.5


def test_nobody_is_the_plain_picture(engine: StableDiffusion, make_identity: MakeIdentity) -> None:
    alice = make_identity(1)
    plain = pixels(engine)
    assert np.array_equal(plain, pixels(engine, Person(alice, 0.0)))
    assert not np.array_equal(plain, pixels(engine, Person(alice)))


def test_each_step_is_told_once(engine: StableDiffusion) -> None:
    told: list[ProgressEvent] = []
    pixels(engine, on_event=told.append)
    steps = [event.step for event in told if event.stage == "denoise" and event.step]
    assert steps == list(range(1, STEPS + 1))


def test_a_preview_of_each_step(engine: StableDiffusion) -> None:
    seen: list[int] = []
    pixels(engine, preview=Preview(lambda image, step: seen.append(step)))
    assert seen == list(range(1, STEPS + 1))


@pytest.mark.parametrize("step", [1, 3])
def test_it_can_be_cancelled(engine: StableDiffusion, step: int) -> None:
    def stop(event: ProgressEvent) -> None:
        if (event.stage, event.step) == ("denoise", step):
            engine.cancel()

    before = pixels(engine)
    with pytest.raises(GenerationCancelled):
        pixels(engine, on_event=stop)
    assert np.array_equal(pixels(engine), before)


@pytest.mark.parametrize("mode", ["easycache", "dbcache", "taylorseer"])
def test_step_caches(engine: StableDiffusion, make_identity: MakeIdentity, mode: str) -> None:
    """One that skips nothing changes nothing; one that does, only what nobody is in."""
    alice = Person(make_identity(1))
    plain = pixels(engine, alice)
    off = {"cache_mode": mode, "cache_option": "threshold=0"}
    assert np.array_equal(pixels(engine, alice, **off), plain)
    threshold = "threshold=1000,start=0,end=1" if mode == "easycache" else "threshold=1000"
    on = {"cache_mode": mode, "cache_option": threshold}
    nobody = pixels(engine, **on)
    assert np.array_equal(pixels(engine, Person(alice.identity, 0.0), **on), nobody)
    assert not np.array_equal(pixels(engine, alice, **on), nobody)


def test_a_picture_to_start_from(engine: StableDiffusion) -> None:
    """It begins below the noise level 1."""
    rows, columns = np.indices((SIDE, SIDE))
    start = Image.fromarray(np.dstack([rows * 3, columns * 3, rows]).astype(np.uint8))
    seen: list[int] = []
    pixels(
        engine, init_image=start, strength=0.5, preview=Preview(lambda _, step: seen.append(step))
    )
    assert seen == [1, 2, 3]


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StableDiffusion]:
    files = make_sdxl_standin_weights(tmp_path_factory.mktemp("sdxl"))
    named = {
        "diffusion_model_path": files["unet-f16"], "clip_l_path": files["clip_l"],
        "clip_g_path": files["clip_g"], "taesd_path": files["taesd"],
    }  # fmt: skip
    paths = {name: str(path) for name, path in named.items()}
    with StableDiffusion(**paths, n_threads=1, backend="cpu") as loaded:
        yield loaded


LIGHTNING = {"steps": 5, "cfg_scale": 2.0, "scheduler": "karras"}


def test_sdxl(sdxl: StableDiffusion) -> None:
    """Five steps of karras, as with the official v1.1; without noise it is dpm++2s_a there, too."""
    seen: list[int] = []
    first = pixels(sdxl, **LIGHTNING, preview=Preview(lambda _, step: seen.append(step)))
    assert seen == [1, 2, 3, 4, 5]
    assert np.array_equal(first, pixels(sdxl, **LIGHTNING))
    still = pixels(sdxl, eta=0.0, **LIGHTNING)
    assert np.abs(first - still).mean() > 0.5
    other = pixels(sdxl, sampling_method="dpm++2s_a", eta=0.0, **LIGHTNING)
    assert np.abs(still - other).max() <= 1
