"""The second pass ("hires"): steps, people and regions of its own.

With a denoising strength of 1 nothing of the first pass is left, so that the picture must be, to
the bit, the one that is made at the larger size at once: of the same people in the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import (
    GenerationError,
    Identity,
    Person,
    ProgressEvent,
    Region,
    StableDiffusion,
)
from pulid_sdcpp.options.generation import GenerationOptions

pytestmark = pytest.mark.engine

Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[[int], Identity]
SMALL = {"width": 64, "height": 32, "sample_steps": 2, "cfg_scale": 1.0, "seed": 5}
LARGE = {**SMALL, "width": 128, "height": 64}
ANEW = {**SMALL, "hires": True, "hires_denoising_strength": 1.0}
LEFT = Region(box=(0, 0, 0.5, 1))


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(depth=2, depth_single=2, hidden=128)


@pytest.fixture(scope="module")
def engine(weights: dict[str, Path], load_engine: Load) -> Iterator[StableDiffusion]:
    with load_engine(weights, backend="cpu", n_threads=2) as engine:
        yield engine


def picture(engine: StableDiffusion, *people: Person, **options: Any) -> np.ndarray:
    (image,) = engine.generate_image("two", pulid_people=people, **options)
    return np.asarray(image.convert("RGB"))


def test_a_second_pass_of_its_own_is_the_larger_picture(
    engine: StableDiffusion, make_identity: MakeIdentity, tmp_path: Path
) -> None:
    alice, bob = make_identity(1), make_identity(2)
    mask = np.zeros((32, 64), np.uint8)
    mask[:, 40:] = 255
    Image.fromarray(mask).save(tmp_path / "right.png")
    right = Region(mask=tmp_path / "right.png")
    people = [Person(alice, 0.8, region=LEFT, end_step=1), Person(bob, start_step=1, region=right)]
    everybody = {"nobody": [], "all over": [Person(alice)], "in regions": people}
    seen = set()
    for who, several in everybody.items():
        large = picture(engine, *several, **LARGE)
        assert picture(engine, *several, **ANEW).tobytes() == large.tobytes(), who
        seen.add(large.tobytes())
    assert len(seen) == 3
    # True CFG from its second step on, with everybody in the negative pass, too.
    guided = {"cfg_scale": 2.0, "cfg_start_step": 1}
    assert picture(engine, *people, **{**ANEW, **guided}).tobytes() == (
        picture(engine, *people, **{**LARGE, **guided}).tobytes()
    )


def test_a_box_in_pixels_counts_in_those_of_the_first_pass(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    alice = make_identity(1)
    small, large = Region(box=(16, 0, 24, 32)), Region(box=(32, 0, 48, 64))
    made = picture(engine, Person(alice, region=small), **ANEW)
    assert made.tobytes() == picture(engine, Person(alice, region=large), **LARGE).tobytes()


def test_without_a_person_it_is_the_engine_as_it_is(
    engine: StableDiffusion,
    weights: dict[str, Path],
    load_engine: Load,
    make_identity: MakeIdentity,
) -> None:
    second = {**SMALL, "hires": True, "hires_steps": 1, "hires_upscaler": "Lanczos"}
    with load_engine(weights, pulid=False, backend="cpu", n_threads=2) as without:
        plain = picture(without, **second)
    assert picture(engine, **second).tobytes() == plain.tobytes()
    off = Person(make_identity(1), 0.0, region=LEFT)
    assert picture(engine, off, **second).tobytes() == plain.tobytes()
    changed = picture(engine, Person(make_identity(1), region=LEFT), **second)
    assert changed.shape == (64, 128, 3)
    assert changed.tobytes() != plain.tobytes()


@pytest.mark.parametrize(
    ("steps", "second", "strength"), [(4, 0, 0.7), (3, 2, 0.5), (2, 5, 0.3), (2, 1, 0.01)]
)
def test_its_steps_are_told(
    engine: StableDiffusion, steps: int, second: int, strength: float
) -> None:
    seen: list[ProgressEvent] = []
    options = {
        "width": 32, "height": 32, "hires": True, "hires_scale": 1.0,
        "hires_steps": second, "hires_denoising_strength": strength,
    }  # fmt: skip
    engine.generate_image("", sample_steps=steps, cfg_scale=1.0, on_event=seen.append, **options)
    stages = list(dict.fromkeys(event.stage for event in seen))
    assert stages[-3:] == ["denoise", "hires", "decode"]
    made = GenerationOptions("", steps=steps, **options).second_steps.made
    told = [(event.step, event.steps) for event in seen if event.stage == "hires"]
    assert told == [(0, 0), *((step, made) for step in range(1, made + 1))]


def test_what_it_cannot_do_is_refused(
    engine: StableDiffusion, weights: dict[str, Path], load_engine: Load, tmp_path: Path
) -> None:
    for options, words in (
        ({"hires_scale": 200.0}, "a width of 12800"),
        ({"hires_width": 40}, "multiple of 16"),
        ({"hires_upscaler": "model"}, "hires_path"),
        ({"hires_upscaler": "biggest"}, "hires_upscaler is 'biggest'"),
    ):
        with pytest.raises(ValueError, match=words):
            engine.generate_image("", hires=True, **{**SMALL, **options})
    with (
        load_engine(weights, backend="cpu", vae_decode_only=True) as decoder,
        pytest.raises(ValueError, match="vae_decode_only"),
    ):
        decoder.generate_image("", hires=True, hires_upscaler="Nearest", **SMALL)
    picture(engine, **SMALL)


def test_cancelled_in_its_midst(engine: StableDiffusion) -> None:
    def stop(event: ProgressEvent) -> None:
        if event.stage == "hires" and event.step == 1:
            engine.cancel()

    with pytest.raises(GenerationError, match="cancelled"):
        engine.generate_image("", on_event=stop, **ANEW)
    assert picture(engine, **SMALL).tobytes() == picture(engine, **SMALL).tobytes()
