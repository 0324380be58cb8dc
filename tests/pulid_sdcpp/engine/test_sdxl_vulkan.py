"""SDXL with a person on Vulkan: the same numbers as on the CPU, offloaded and in segments, too.

Evaluations instead of pictures: the software driver is slow. One engine at a time: that driver
crashes with two (native/README.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import Identity, Person, Region, StableDiffusion

pytestmark = [pytest.mark.engine, pytest.mark.vulkan]

VULKAN = "diffusion=vulkan0,clip=cpu,vae=cpu"
RANDOM = np.random.default_rng(5)
INPUTS = (
    RANDOM.normal(size=(4, 8, 8)),
    500.25,
    RANDOM.normal(size=(8, 2048)),
    RANDOM.normal(size=2816),
)
OTHER_ROUNDINGS = 2e-3
"""Relative, of what is computed in another order: what each of the two may differ from exact
arithmetic, see test_unet_exactness.py."""
Load = Callable[..., StableDiffusion]
Noise = dict[str, np.ndarray]
Evaluations = Callable[[StableDiffusion], Noise]


@pytest.fixture(scope="module")
def evaluations(make_sdxl_identity: Callable[..., Identity]) -> Evaluations:
    """Of nobody, of a person in either pass, and of two people with a part of the picture each."""
    left, right = (Region(box=(x, 0, 0.5, 1)) for x in (0, 0.5))
    alice, bob = make_sdxl_identity(1), make_sdxl_identity(2)
    people = {
        "nobody": [],
        "alice": [Person(alice)],
        "negative": [Person(alice)],  # needs another slot
        "two": [Person(alice, region=left), Person(bob, 0.6, region=right)],
    }

    def evaluated(engine: StableDiffusion) -> Noise:
        return {
            who: engine.evaluate(*INPUTS, pulid_people=here, negative=who == "negative")
            for who, here in people.items()
        }

    return evaluated


MODES = {
    f"{projection}, {zeros} zeros": {"id_projection": projection, "id_zeros": zeros}
    for projection, zeros in (("none", 0), ("none", 8), ("ortho", 16), ("ortho_v2", 0))
}


@pytest.fixture(scope="module")
def modes(make_sdxl_identity: Callable[..., Identity]) -> Evaluations:
    """Of a person in other modes than the usual one."""
    alice = Person(make_sdxl_identity(1))

    def evaluated(engine: StableDiffusion) -> Noise:
        return {
            name: engine.evaluate(*INPUTS, pulid_people=[alice], **mode)
            for name, mode in MODES.items()
        }

    return evaluated


@pytest.fixture(scope="module")
def on_vulkan(
    small_sdxl_weights: dict[str, Path],
    load_sdxl: Load,
    evaluations: Evaluations,
    modes: Evaluations,
) -> tuple[Noise, Noise, Noise]:
    """Twice by one engine, and the modes."""
    with load_sdxl(small_sdxl_weights, backend=VULKAN) as engine:
        return evaluations(engine), evaluations(engine), modes(engine)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    relative = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    print(f"relative difference {relative:.1e}")
    return relative


def test_people_change_and_leave_no_trace(
    small_sdxl_weights: dict[str, Path], load_sdxl: Load, on_vulkan: tuple[Noise, Noise, Noise]
) -> None:
    first, again, _ = on_vulkan
    with load_sdxl(small_sdxl_weights, pulid=None, backend=VULKAN) as engine:
        assert np.array_equal(first["nobody"], engine.evaluate(*INPUTS))
    for who, noise in first.items():
        assert np.array_equal(noise, again[who])
        if who != "nobody":
            assert difference(noise, first["nobody"]) > 20 * OTHER_ROUNDINGS


def test_the_numbers_are_those_of_the_cpu(
    small_sdxl_weights: dict[str, Path],
    load_sdxl: Load,
    evaluations: Evaluations,
    modes: Evaluations,
    on_vulkan: tuple[Noise, Noise, Noise],
) -> None:
    with load_sdxl(small_sdxl_weights, backend="cpu") as engine:
        expected, in_modes = evaluations(engine), modes(engine)
    for who, noise in expected.items():
        assert difference(on_vulkan[0][who], noise) < OTHER_ROUNDINGS
    for name, noise in in_modes.items():
        assert difference(on_vulkan[2][name], noise) < OTHER_ROUNDINGS
        for other in {**in_modes, **expected}:
            if other != name:
                apart = {**in_modes, **expected}[other]
                assert difference(apart, noise) > 5 * OTHER_ROUNDINGS


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({}, 0.0), ({"max_vram": 0.002}, 1e-6)],
    ids=["offloaded", "in segments"],
)
def test_offloaded_or_in_segments_they_are_the_same(
    small_sdxl_weights: dict[str, Path],
    load_sdxl: Load,
    evaluations: Evaluations,
    on_vulkan: tuple[Noise, Noise, Noise],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, float],
    tolerance: float,
) -> None:
    """The identity's tensors are parameters of the UNet's, so they move with the others."""
    options = {"backend": VULKAN, "offload_params_to_cpu": True, **options}
    with (
        caplog.at_level("DEBUG", "pulid_sdcpp.engine"),
        load_sdxl(small_sdxl_weights, **options) as engine,
    ):
        found = evaluations(engine)
    for who, noise in on_vulkan[0].items():
        assert difference(found[who], noise) <= tolerance
    segments = [record for record in caplog.records if "executing segment" in record.getMessage()]
    assert bool(segments) == ("max_vram" in options)
