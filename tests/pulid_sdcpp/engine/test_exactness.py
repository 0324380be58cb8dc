"""The engine against an independent definition of Flux with PuLID, one model evaluation.

The tolerance is derived. A matrix stored in float16 is multiplied with inputs rounded to
float16: how far that moves the result is measured on the definition itself (`f16_inputs`).
The engine rounds at the same places, but not in the same order of summation, so twice that is
allowed; and 3.5e-4 of what the identity contributes, because its folded layers are float16.

ggml's Vulkan kernels also keep their sums in float16 unless GGML_VK_DISABLE_F16 is set, which CI
does for one of its two runs. Partial sums rounded to 2^-11 walk at random: relative to the output,
2^-11 times the root of the longest sum's length (width plus four times it, in a single block).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from definition.flux_pulid import FluxPulid  # noqa: E402
from pulid_sdcpp import Identity, Person, Region, StableDiffusion  # noqa: E402

pytestmark = pytest.mark.engine

FOLDED_F16_ERROR = 3.5e-4
HALF_ROUNDING = 2**-11
TIMESTEP = 0.6
VULKAN = "diffusion=vulkan0,clip=cpu,vae=cpu"
SIZES = [
    {"depth": 3, "depth_single": 5, "hidden": 128},
    {"depth": 5, "depth_single": 9, "hidden": 128},
    {"depth": 3, "depth_single": 5, "hidden": 384},
]
# Another number of blocks is no other kernel, and the software driver takes seconds for each test.
CASES = [("cpu", size) for size in SIZES]
ON_VULKAN = [
    pytest.param((VULKAN, size), marks=pytest.mark.vulkan) for size in (SIZES[0], SIZES[2])
]


def case_name(case: tuple[str, dict[str, int]]) -> str:
    backend, size = case
    return "-".join([backend if backend == "cpu" else "vulkan", *map(str, size.values())])


@dataclass
class Case:
    engine: StableDiffusion
    exact: FluxPulid
    rounded: FluxPulid
    inputs: tuple[np.ndarray, float, np.ndarray, np.ndarray]
    half_sums: bool

    def check(
        self, found: np.ndarray, identities: list[tuple[np.ndarray, float | np.ndarray]]
    ) -> float:
        expected = self.exact.velocity(*self.inputs, identities=identities)
        rounded = self.rounded.velocity(*self.inputs, identities=identities)
        plain = self.exact.velocity(*self.inputs)
        contribution = np.abs(expected - plain).max()
        tolerance = 2 * np.abs(expected - rounded).max() + FOLDED_F16_ERROR * contribution
        if self.half_sums:
            longest_sum = 5 * self.exact.hidden
            tolerance += HALF_ROUNDING * np.sqrt(longest_sum) * np.abs(expected).max()
        difference = np.abs(found - expected).max()
        print(
            f"max difference {difference:.2e}, tolerance {tolerance:.2e}, "
            f"output up to {np.abs(expected).max():.2f}, identity changes it by {contribution:.2f}"
        )
        assert difference <= tolerance
        return float(contribution)


@pytest.fixture(scope="module", params=[*CASES, *ON_VULKAN], ids=case_name)
def case(
    request: pytest.FixtureRequest,
    make_weights: Callable[..., dict],
    load_engine: Callable[..., StableDiffusion],
) -> Iterator[Case]:
    backend, size = request.param
    weights = make_weights(**size)
    with load_engine(weights, backend=backend) as engine:
        yield make_case(engine, weights, backend)


def make_case(engine: StableDiffusion, weights: dict, backend: str) -> Case:
    random = np.random.default_rng(0)
    inputs = (
        random.normal(size=(16, 16, 12)).astype(np.float32),
        TIMESTEP,
        (random.normal(size=(20, 4096)) * 0.3).astype(np.float32),
        random.normal(size=768).astype(np.float32),
    )
    exact, rounded = (
        FluxPulid(weights["flux-f16"], weights["pulid"], f16_inputs=f16) for f16 in (False, True)
    )
    half_sums = backend != "cpu" and not os.environ.get("GGML_VK_DISABLE_F16")
    return Case(engine, exact, rounded, inputs, half_sums)


def test_without_identity(case: Case) -> None:
    case.check(case.engine.evaluate(*case.inputs), [])


@pytest.mark.parametrize("weight", [0.5, 1.0, 1.7])
def test_with_identity(case: Case, make_identity: Callable[[int], Identity], weight: float) -> None:
    identity = make_identity(1)
    found = case.engine.evaluate(*case.inputs, pulid_id_embedding=identity, pulid_id_weight=weight)
    contribution = case.check(found, [(identity.tokens, weight)])
    assert contribution > 0.5, "an identity that changes little would hide an error"


def test_two_people_each_in_a_region(case: Case, make_identity: Callable[[int], Identity]) -> None:
    alice, bob = make_identity(1), make_identity(2)
    rows, columns = (side // 2 for side in case.inputs[0].shape[1:])
    everywhere = np.ones((rows, columns))
    left = everywhere.copy()
    left[:, columns // 2 :] = 0
    fading = np.linspace(0, 1, columns) * everywhere
    mask = Image.fromarray(np.round(255 * fading).astype(np.uint8))
    people = [
        Person(alice, 0.8, region=Region(box=(0, 0, 16 * (columns // 2), 16 * rows))),
        Person(bob, 1.3, region=Region(mask=mask)),
    ]
    found = case.engine.evaluate(*case.inputs, pulid_people=people)
    case.check(
        found, [(alice.tokens, 0.8 * left), (bob.tokens, 1.3 * np.round(255 * fading) / 255)]
    )
    # Where everybody is everywhere, regions change nothing at all.
    whole = Region(box=(0, 0, 1, 1))
    with_regions, without = (
        case.engine.evaluate(*case.inputs, pulid_people=[Person(alice, 0.8, region=region)])
        for region in (whole, None)
    )
    assert with_regions.tobytes() == without.tobytes()


def test_negative_pass_gets_the_unconditional_identity(
    case: Case, make_identity: Callable[[int], Identity]
) -> None:
    identity = make_identity(1)
    found = case.engine.evaluate(*case.inputs, step=1, negative=True, pulid_id_embedding=identity)
    assert identity.uncond_tokens is not None
    case.check(found, [(identity.uncond_tokens, 1.0)])
    with_positive = case.exact.velocity(*case.inputs, identities=[(identity.tokens, 1.0)])
    assert np.abs(found - with_positive).max() > 0.5


@pytest.mark.parametrize("case", [*CASES, ON_VULKAN[0]], ids=case_name, indirect=True)
@pytest.mark.parametrize(
    ("step", "applied"), [(0, False), (1, False), (2, True), (3, True), (4, False), (9, False)]
)
def test_start_and_end_step(
    case: Case, make_identity: Callable[[int], Identity], step: int, applied: bool
) -> None:
    identity = make_identity(2)
    found = case.engine.evaluate(
        *case.inputs,
        step=step,
        pulid_id_embedding=identity,
        pulid_start_step=2,
        pulid_end_step=4,
    )
    case.check(found, [(identity.tokens, 1.0)] if applied else [])


def test_flash_attention_is_as_exact_as_none(
    backend: str,
    make_weights: Callable[..., dict],
    load_engine: Callable[..., StableDiffusion],
    make_identity: Callable[[int], Identity],
) -> None:
    identity = make_identity(1)
    weights = make_weights(**SIZES[0])
    results = []
    for flash in (True, False):
        with load_engine(weights, backend=backend, diffusion_flash_attn=flash) as engine:
            case = make_case(engine, weights, backend)
            found = engine.evaluate(*case.inputs, pulid_id_embedding=identity)
            case.check(found, [(identity.tokens, 1.0)])
            results.append(found)
    assert not np.array_equal(*results), "flash attention made no difference: is it on?"
