"""Latents after the steps of PuLID for SDXL: the engine's evaluations against the definition's.

The sampler is the definition's in both: the engine's own are compared elsewhere. What differs is
each evaluation, by what the engine rounds, and how that grows over the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from definition.samplers import dpmpp_2m  # noqa: E402
from definition.unet_graph import UnetGraph, UnetPerson  # noqa: E402
from definition.unet_pulid import UnetUse  # noqa: E402
from definition.unet_schedules import (  # noqa: E402
    Epsilon,
    Schedule,
    denoiser,
    guided,
    karras,
    lightning,
)
from pulid_sdcpp import Identity, Person, StableDiffusion  # noqa: E402

pytestmark = pytest.mark.engine

Files = dict[str, Path]
V1, V11 = (10, "sdxl-v1", 8), (32, "sdxl-v1.1", 20)
"""Tokens of an identity, its encoder, zero tokens."""
WEIGHT = 0.8


@pytest.fixture(scope="module")
def version(request: pytest.FixtureRequest) -> tuple[int, str, int]:
    found: tuple[int, str, int] = request.param
    return found


@pytest.fixture(scope="module")
def epsilons(
    small_sdxl_weights: Files,
    load_sdxl: Callable[..., StableDiffusion],
    make_sdxl_identity: Callable[..., Identity],
    version: tuple[int, str, int],
) -> Iterator[Callable[[float], dict[str, Epsilon]]]:
    """What engine and definition see in a latent, by cfg."""
    n_tokens, encoder, zeros = version
    pulid = encoder.replace("sdxl-", "pulid-")
    random = np.random.default_rng(4)
    # Two prompts that have most of their tokens in common, as those of 77 tokens have. The
    # roundings of the two passes differ, so strong guidance makes them larger in any case.
    context = np.tile(random.normal(size=(12, 2048)), (2, 1, 1)).astype(np.float32)
    context[1, :3] = random.normal(size=(3, 2048))
    y = np.tile(random.normal(size=2816), (2, 1)).astype(np.float32)
    y[1, :1280] += 0.3 * random.normal(size=1280)
    alice = make_sdxl_identity(1, n_tokens, encoder)
    graph = UnetGraph(small_sdxl_weights["unet-f16"], small_sdxl_weights[pulid])
    with load_sdxl(small_sdxl_weights, pulid=pulid, backend="cpu") as engine:

        def by_engine(negative: bool) -> Epsilon:
            def epsilon(x: np.ndarray, timestep: float) -> np.ndarray:
                return engine.evaluate(
                    *(x.astype(np.float32), timestep, context[int(negative)], y[int(negative)]),
                    negative=negative,
                    pulid_people=[Person(alice, WEIGHT)],
                )

            return epsilon

        def by_definition(negative: bool) -> Epsilon:
            tokens = alice.uncond_tokens if negative else alice.tokens
            assert tokens is not None
            use = UnetUse(tokens.astype(np.float64), WEIGHT, "ortho_v2", zeros)

            def epsilon(x: np.ndarray, timestep: float) -> np.ndarray:
                which = int(negative)
                return graph.noise(x, timestep, context[which], y[which], [UnetPerson(use)])

            return epsilon

        def made(cfg_scale: float) -> dict[str, Epsilon]:
            return {
                name: guided(make(False), make(True), cfg_scale)
                for name, make in (("engine", by_engine), ("definition", by_definition))
            }

        yield made


def difference(epsilons: dict[str, Epsilon], schedule: Schedule, *, lightning: bool) -> float:
    """Relative, of the latents at the end."""
    noise = np.random.default_rng(9).normal(size=(4, 8, 12))
    latents = {
        name: dpmpp_2m(
            denoiser(epsilon),
            noise * np.sqrt(schedule.sigmas[0] ** 2 + 1),
            schedule.sigmas,
            ends_first_order=lightning,
        )
        for name, epsilon in epsilons.items()
    }
    found, exact = latents["engine"], latents["definition"]
    relative = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    print(f"relative difference {relative:.1e} of latents of deviation {exact.std():.2f}")
    assert 0.2 < exact.std() < 20
    return relative


@pytest.mark.parametrize("version", [V1, V11], ids=["v1", "v1.1"], indirect=True)
def test_four_steps_of_v1(epsilons: Callable[[float], dict[str, Epsilon]]) -> None:
    assert difference(epsilons(1.2), lightning(4), lightning=True) < 3e-3


@pytest.mark.slow
@pytest.mark.parametrize("version", [V11], ids=["v1.1"], indirect=True)
def test_25_steps_with_strong_guidance(epsilons: Callable[[float], dict[str, Epsilon]]) -> None:
    assert difference(epsilons(7.0), karras(25), lightning=False) < 1.5e-2
