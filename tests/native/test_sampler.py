"""native/src/pulid_sampler.hpp against k-diffusion's update, as definition/samplers.py has it.

A compiled probe runs the sampler with a formula for a model, and with normal numbers from here.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from definition.samplers import BrownianPath, dpmpp_sde

ROOT = Path(__file__).resolve().parents[2]
PROBE = r"""
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "pulid_sampler.hpp"

struct Latent {
    std::vector<float> values;
    bool empty() const { return values.empty(); }
    Latent& operator+=(const Latent& other) {
        for (size_t i = 0; i < values.size(); i++) values[i] += other.values[i];
        return *this;
    }
};
Latent operator*(Latent one, float factor) {
    for (float& value : one.values) value *= factor;
    return one;
}
Latent operator*(float factor, Latent one) { return one * factor; }
Latent operator+(Latent one, const Latent& other) { return one += other; }

static double number() {
    double read;
    if (scanf("%lf", &read) != 1) exit(3);
    return read;
}

static Latent numbers(size_t count) {
    Latent read{std::vector<float>(count)};
    for (float& value : read.values) value = static_cast<float>(number());
    return read;
}

// is_flow eta stop_at n_sigmas sigmas n_values x, then normal numbers; says each call, then x.
int main() {
    const bool is_flow  = number() != 0;
    const float eta     = static_cast<float>(number());
    const int stop_at   = static_cast<int>(number());
    const auto sigmas   = numbers(static_cast<size_t>(number())).values;
    const size_t count  = static_cast<size_t>(number());
    const Latent start  = numbers(count);
    int calls           = 0;
    const auto denoise  = [&](const Latent& x, float sigma, int step) {
        printf("call %.9g %d\n", sigma, step);
        if (++calls == stop_at) return Latent{};
        Latent seen = x;
        for (float& value : seen.values) {
            value = std::tanh(0.8f * value / (1 + sigma)) + 0.1f * sigma;
        }
        return seen;
    };
    const auto normal   = [&] {
        printf("normal\n");
        return numbers(count);
    };
    const Latent made   = pulid::sample_dpmpp_sde(denoise, start, sigmas, normal, eta, is_flow);
    printf("made");
    for (float value : made.values) printf(" %.9g", value);
    printf("\n");
    return 0;
}
"""
KARRAS_5 = (14.6146, 4.7965, 1.2741, 0.2479, 0.0292, 0.0)
FLOW_4 = (1.0, 0.75, 0.5, 0.25, 0.0)
COUNT = 64


@dataclass(frozen=True)
class Run:
    made: np.ndarray
    calls: list[tuple[float, int]]
    draws: int


Sample = Callable[..., Run]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The compiled sampler."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    program = next((found for name in names if name and (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no C++ compiler")
    source = tmp_path_factory.mktemp("probe") / "sampler.cpp"
    source.write_text(PROBE)
    binary = source.with_suffix(".exe")
    command = [program, "-std=c++17", f"-I{ROOT / 'native' / 'src'}", source, "-o", binary]
    subprocess.run(command, check=True, timeout=120)

    def run(
        x: np.ndarray,
        sigmas: tuple[float, ...],
        normals: np.ndarray,
        eta: float = 1.0,
        is_flow: bool = False,
        stop_at: int = 0,
    ) -> Run:
        given = [int(is_flow), eta, stop_at, len(sigmas), *sigmas, len(x), *x, *normals.ravel()]
        said = subprocess.run(
            [binary], input=" ".join(map(repr, map(float, given))), check=True,
            capture_output=True, text=True, timeout=60,
        ).stdout.splitlines()  # fmt: skip
        calls = [line.split()[1:] for line in said if line.startswith("call")]
        return Run(
            np.array([float(word) for word in said[-1].split()[1:]]),
            [(float(sigma), int(step)) for sigma, step in calls],
            said.count("normal"),
        )

    return run


def seen(x: np.ndarray, sigma: float) -> np.ndarray:
    """What the probe's model sees."""
    return np.tanh(0.8 * x / (1 + sigma)) + 0.1 * sigma


def one_by_one(normals: np.ndarray) -> Callable[[], np.ndarray]:
    each: Iterator[np.ndarray] = iter(normals)
    return lambda: next(each)


@pytest.fixture
def normals() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(12, COUNT)).astype(np.float32).astype(float)


@pytest.mark.parametrize("eta", [1.0, 0.4, 0.0, 2.0])
@pytest.mark.parametrize(
    ("sigmas", "is_flow"),
    [
        (KARRAS_5, False),
        ((3.0, 1.0, 0.5), False),
        (FLOW_4, True),
        ((0.9, 0.6, 0.3, 0.05), True),
        ((1.0, 0.2, 0.0), True),
    ],
)
def test_it_is_the_update_of_k_diffusion(
    sample: Sample, normals: np.ndarray, sigmas: tuple[float, ...], is_flow: bool, eta: float
) -> None:
    x = normals[-1] * sigmas[0]
    found = sample(x, sigmas, normals, eta, is_flow)
    levels = [float(np.float32(sigma)) for sigma in sigmas]
    expected = dpmpp_sde(seen, x, levels, one_by_one(normals), eta=eta, is_flow=is_flow)
    difference = np.abs(found.made - expected).max()
    print(f"max difference {difference:.1e} of {np.abs(expected).max():.2f}")
    assert difference <= 3e-6 * np.abs(expected).max()
    assert (found.draws > 0) == (eta > 0)


def test_one_step_by_hand(sample: Sample) -> None:
    """From 4 over 2 to 1.

    Half-way it goes down to 1 and up by sqrt(3); in all, down to 1/4 and up by sqrt(15)/4, with
    sqrt(2/3) of the first noise and sqrt(1/3) of the second.
    """
    x, first, second = 2.0, 0.5, -1.0
    half = x / 4 + 3 / 4 * seen(np.array(x), 4.0) + math.sqrt(3) * first
    whole = x / 16 + 15 / 16 * seen(np.array(half), 2.0)
    whole += math.sqrt(15) / 4 * (math.sqrt(2 / 3) * first + math.sqrt(1 / 3) * second)
    found = sample(np.array([x]), (4.0, 1.0), np.array([first, second]))
    assert found.made == pytest.approx([float(whole)], rel=1e-6)
    assert found.calls == [(4.0, -1), (2.0, 1)]


def test_evaluations_of_a_schedule(sample: Sample, normals: np.ndarray) -> None:
    """Two a step, the first with a negative number; one for the last, and at a flow's level 1."""
    five = sample(normals[-1], KARRAS_5, normals)
    assert [step for _, step in five.calls] == [-1, 1, -2, 2, -3, 3, -4, 4, 5]
    assert five.draws == 8
    middles = [math.sqrt(a * b) for a, b in itertools.pairwise(KARRAS_5[:5])]
    assert [sigma for sigma, _ in five.calls[1:8:2]] == pytest.approx(middles, rel=1e-6)
    flow = sample(normals[-1], FLOW_4, normals, is_flow=True)
    assert [step for _, step in flow.calls] == [1, -2, 2, -3, 3, 4]
    assert flow.draws == 5
    levels = np.array([sigma for sigma, _ in flow.calls])
    odds = (1 - levels) / levels
    assert odds[2] == pytest.approx(math.sqrt(odds[1] * odds[3]), rel=1e-6)


@pytest.mark.parametrize("call", range(1, 10))
def test_an_evaluation_that_ends_early_ends_it(
    sample: Sample, normals: np.ndarray, call: int
) -> None:
    stopped = sample(normals[-1], KARRAS_5, normals, stop_at=call)
    assert (len(stopped.calls), len(stopped.made)) == (call, 0)


@pytest.mark.parametrize(
    ("sigmas", "is_flow"),
    [
        ((1.0, 1.0, 0.5, 0.0), True),
        ((3.0, 2.0, 0.5, 0.0), True),
        ((0.5, 0.5, 0.0, 0.0), True),
        ((2.0, 2.0, 1.0, 0.0), False),
    ],
)
def test_levels_that_stand_still_or_are_above_1(
    sample: Sample, normals: np.ndarray, sigmas: tuple[float, ...], is_flow: bool
) -> None:
    made = sample(normals[-1], sigmas, normals, is_flow=is_flow).made
    assert np.isfinite(made).all()
    assert np.abs(made).max() < 3


def test_a_step_that_stands_still_changes_nothing(sample: Sample, normals: np.ndarray) -> None:
    for sigmas, is_flow in (((0.5, 0.25), True), ((2.0, 1.0), False)):
        still = sample(normals[-1], (sigmas[0], *sigmas), normals, is_flow=is_flow)
        assert np.array_equal(
            still.made, sample(normals[-1], sigmas, normals, is_flow=is_flow).made
        )


def test_the_limit_at_a_flow_models_level_of_1() -> None:
    """There the definition has no middle: what is just below 1 tends to it."""

    def picture(x: np.ndarray, sigma: float) -> np.ndarray:
        """Where there is noise only, a picture that does not depend on it."""
        return np.full_like(x, 0.3)

    normals = np.random.default_rng(1).normal(size=(2, 8))
    start = np.random.default_rng(2).normal(size=8)
    for eta in (1.0, 0.6):
        limit = dpmpp_sde(
            picture, start, (1.0, 0.7), one_by_one(normals[1:]), eta=eta, is_flow=True
        )
        near = dpmpp_sde(
            picture, start, (1 - 1e-12, 0.7), one_by_one(normals), eta=eta, is_flow=True
        )
        assert near == pytest.approx(
            limit, abs=3e-3
        )  # of the path, a thousandth is before the middle


def test_both_noises_of_a_step_are_of_one_path(sample: Sample) -> None:
    """Their correlation, over many latents, is the root of the first increment's share."""
    count, sigmas = 20_000, (4.0, 1.0)
    normals = np.random.default_rng(5).normal(size=(2, count))
    found = sample(np.zeros(count), sigmas, normals)
    whole = (found.made - 15 / 16 * seen(half(normals[0]), 2.0)) / (math.sqrt(15) / 4)
    assert whole.std() == pytest.approx(1, abs=0.02)
    share = (4.0 - 2.0) / (4.0 - 1.0)
    assert np.corrcoef(whole, normals[0])[0, 1] == pytest.approx(math.sqrt(share), abs=0.01)


def half(first: np.ndarray) -> np.ndarray:
    """The latent in the middle of the step from 4 to 1 that began at zeros."""
    return 3 / 4 * seen(np.zeros_like(first), 4.0) + math.sqrt(3) * first


def test_steps_of_a_path_do_not_know_each_other() -> None:
    """And each has the variance 1, however it is cut."""
    random = np.random.default_rng(7)
    increments = []
    path = BrownianPath(lambda: random.normal(size=20_000))
    for start, middle, end in ((14.6, 8.0, 4.8), (4.8, 2.5, 1.3)):
        increments += [path(start, middle), path(start, end)]
    correlation = np.corrcoef(increments)
    assert np.std(increments, axis=1) == pytest.approx(np.ones(4), abs=0.02)
    share = math.sqrt((14.6 - 8.0) / (14.6 - 4.8))
    assert correlation[0, 1] == pytest.approx(share, abs=0.01)
    assert np.abs(correlation[:2, 2:]).max() < 0.03
