"""What depends on the device, on Vulkan: offloading, streaming, placement, changing identities.

The numbers themselves are in test_engine_exactness.py. Evaluations instead of pictures where
they show the same: the software driver takes seconds for a step. One engine at a time: that
driver crashes with two (native/README.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import GenerationCancelled, Identity, Person, Region, StableDiffusion

pytestmark = [pytest.mark.engine, pytest.mark.vulkan]

VULKAN = "diffusion=vulkan0,clip=cpu,vae=cpu"
PICTURE = {"width": 96, "height": 128, "cfg_scale": 1.0, "seed": 7, "sample_method": "euler"}
RANDOM = np.random.default_rng(5)
INPUTS = (
    RANDOM.normal(size=(16, 16, 12)),
    0.5,
    RANDOM.normal(size=(20, 4096)) * 0.3,
    RANDOM.normal(size=768),
)
Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[[int], Identity]


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(depth=2, depth_single=2, hidden=128)


@pytest.fixture
def engine(weights: dict[str, Path], load_engine: Load) -> Iterator[StableDiffusion]:
    with load_engine(weights, backend=VULKAN) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def plain(weights: dict[str, Path], load_engine: Load) -> bytes:
    """The bytes of an engine without PuLID."""
    with load_engine(weights, pulid=False, backend=VULKAN) as without:
        return without.evaluate(*INPUTS).tobytes()


@pytest.fixture(scope="module")
def with_identity(
    weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity
) -> dict[bool, np.ndarray]:
    """Evaluations with an identity, by whether it is the negative pass."""
    with load_engine(weights, backend=VULKAN) as engine:
        return {
            negative: engine.evaluate(
                *INPUTS, pulid_id_embedding=make_identity(1), negative=negative
            )
            for negative in (False, True)
        }


def two_people(make_identity: MakeIdentity) -> list[Person]:
    halves = (Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1)))
    return [Person(make_identity(2 + i), region=half) for i, half in enumerate(halves)]


@pytest.fixture(scope="module")
def with_people(
    weights: dict[str, Path], load_engine: Load, make_identity: MakeIdentity
) -> np.ndarray:
    with load_engine(weights, backend=VULKAN) as engine:
        return engine.evaluate(*INPUTS, pulid_people=two_people(make_identity))


def test_identities_change_and_leave_no_trace(
    plain: bytes, engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    first = engine.evaluate(*INPUTS, pulid_id_embedding=make_identity(1)).tobytes()
    second = engine.evaluate(*INPUTS, pulid_id_embedding=make_identity(2)).tobytes()
    none = engine.evaluate(*INPUTS).tobytes()
    off = engine.evaluate(*INPUTS, pulid_id_embedding=make_identity(1), pulid_id_weight=0)
    again = engine.evaluate(*INPUTS, pulid_id_embedding=make_identity(1)).tobytes()
    assert first == again
    assert none == off.tobytes() == plain
    assert len({first, second, none}) == 3


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"offload_params_to_cpu": True}, 0.0),
        ({"offload_params_to_cpu": True, "max_vram": 0.002}, 1e-6),
        ({"diffusion_flash_attn": True}, 5e-3),  # keys and values are rounded to float16
    ],
    ids=["offload", "streaming", "flash"],
)
def test_offloading_and_streaming_keep_the_identity(
    weights: dict[str, Path],
    load_engine: Load,
    with_identity: dict[bool, np.ndarray],
    with_people: np.ndarray,
    make_identity: MakeIdentity,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, object],
    tolerance: float,
) -> None:
    """The identity's tensors are parameters of the runner, so they move with the others."""
    with (
        caplog.at_level("DEBUG", "pulid_sdcpp.engine"),
        load_engine(weights, backend=VULKAN, **options) as other,
    ):
        for negative in (False, True, False):  # the second slot is reserved in between
            expected = with_identity[negative]
            found = other.evaluate(*INPUTS, pulid_id_embedding=make_identity(1), negative=negative)
            difference = np.abs(found - expected).max()
            print(f"max difference {difference:.1e} of {np.abs(expected).max():.1f}")
            assert difference <= tolerance * np.abs(expected).max()
        found = other.evaluate(*INPUTS, pulid_people=two_people(make_identity))
        difference = np.abs(found - with_people).max()
        assert difference <= tolerance * np.abs(with_people).max()
    segments = [record for record in caplog.records if "executing segment" in record.getMessage()]
    assert bool(segments) == ("max_vram" in options)


def test_a_picture_is_that_of_the_cpu(
    weights: dict[str, Path],
    load_engine: Load,
    engine: StableDiffusion,
    make_identity: MakeIdentity,
) -> None:
    def picture(on: StableDiffusion) -> np.ndarray:
        person = make_identity(1)
        (image,) = on.generate_image("a", sample_steps=1, pulid_id_embedding=person, **PICTURE)
        return np.asarray(image.convert("RGB")).astype(int)

    found = [picture(engine)]
    for backend in ("cpu", "diffusion=cpu,clip=cpu,vae=Vulkan0"):
        with load_engine(weights, backend=backend) as other:
            found.append(picture(other))
    for other_picture in found[1:]:
        difference = np.abs(found[0] - other_picture).mean()
        print(f"mean difference {difference:.3f} of 255")
        assert difference < 1.0


def test_cancelling_takes_effect_within_one_evaluation(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    before = engine.evaluate(*INPUTS, pulid_id_embedding=make_identity(1)).tobytes()
    seen: list[int] = []

    def progress(step: int, steps: int, time_s: float) -> None:
        seen.append(step)
        if step == 1:
            engine.cancel()

    with pytest.raises(GenerationCancelled):
        engine.generate_image("a", sample_steps=20, progress_callback=progress, **PICTURE)
    assert max(seen) == 1
    assert engine.evaluate(*INPUTS, pulid_id_embedding=make_identity(1)).tobytes() == before
