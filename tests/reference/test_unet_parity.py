"""The definition of SDXL's UNet with PuLID against diffusers' UNet and a processor of our own.

diffusers computes the angles of the timestep in float32: up to 3e-5 at timestep 999, which is
what the two differ by.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from definition.samplers import dpmpp_2m
from definition.unet_graph import UnetGraph, UnetPerson, size_vector
from definition.unet_pulid import PROJECTIONS, UnetUse
from definition.unet_schedules import BETA_FIRST, BETA_LAST, denoiser, lightning
from reference.diffusers_unet import attention_paths, diffusers_unet, predicted_noise, set_pulid
from standin import make_sdxl_standin_weights

DEPTHS = (2, 3)
SIZES_PX = (96, 128)
TOLERANCE = 2e-6
"""Relative; an angle that is off by 3e-5 is 0.3e-5 of the embedding, one input among several."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("standin")
    return make_sdxl_standin_weights(folder, depths=DEPTHS, unet_types=("f32",))


@pytest.fixture(scope="module")
def graph(files: dict[str, Path]) -> UnetGraph:
    return UnetGraph(files["unet-f32"], files["pulid-v1.1"])


@pytest.fixture(scope="module")
def unet(library: Callable[[str], ModuleType], graph: UnetGraph) -> Any:
    return diffusers_unet(library("diffusers"), graph.weights, DEPTHS)


class Inputs:
    """Of one evaluation."""

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        width, height = (side // 8 for side in SIZES_PX)
        self.x = random.normal(size=(4, height, width))
        self.context = random.normal(size=(77, 2048))
        self.pooled = random.normal(size=1280)
        self.tokens = random.normal(size=(32, 64))
        self.timestep = 731.25

    def ours(self, graph: UnetGraph, *people: UnetPerson) -> np.ndarray:
        y = size_vector(self.pooled, *SIZES_PX)
        return graph.noise(self.x, self.timestep, self.context, y, people)

    def theirs(self, unet: Any) -> np.ndarray:
        return predicted_noise(unet, self.x, self.timestep, self.context, self.pooled, SIZES_PX)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs()


@pytest.fixture(scope="module")
def nobody(graph: UnetGraph, inputs: Inputs) -> np.ndarray:
    return inputs.ours(graph)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    print(f"relative difference {difference:.1e}")
    return difference


def test_unet_alone(unet: Any, inputs: Inputs, nobody: np.ndarray) -> None:
    assert relative(inputs.theirs(unet), nobody) < TOLERANCE


def test_layers_are_numbered_as_they_lie_in_attn_processors(unet: Any, graph: UnetGraph) -> None:
    paths = attention_paths(unet)
    assert list(graph.layers.values()) == list(range(1, 2 * len(paths), 2))
    names = list(unet.attn_processors)
    for module, path in zip(graph.layers, paths, strict=True):
        assert names[graph.layers[module]] == f"{path}.processor"
        theirs = unet.get_submodule(path).to_q.weight
        assert theirs.equal(graph.weights[f"{module}.to_q.weight"]), module


@pytest.mark.parametrize(("projection", "zeros"), [*zip(PROJECTIONS, (0, 16, 8), strict=True)])
def test_person(
    unet: Any,
    graph: UnetGraph,
    inputs: Inputs,
    nobody: np.ndarray,
    projection: str,
    zeros: int,
) -> None:
    use = UnetUse(inputs.tokens, 0.8, projection, zeros)
    ours = inputs.ours(graph, UnetPerson(use))
    set_pulid(unet, graph.adapter, inputs.tokens, 0.8, projection, zeros)
    theirs = inputs.theirs(unet)
    assert relative(theirs, ours) < TOLERANCE
    # The person changes the noise plainly, and that change is the same.
    assert np.linalg.norm(ours - nobody) > 0.1 * np.linalg.norm(nobody)
    assert relative(theirs - nobody, ours - nobody) < 10 * TOLERANCE


def test_order_of_computation_is_not_the_order_of_layers(
    unet: Any, graph: UnetGraph, inputs: Inputs, nobody: np.ndarray
) -> None:
    """Counted as they are computed, down, middle, up, the layers are others, of fitting widths."""
    computed: list[str] = []
    hooks = [
        unet.get_submodule(path).to_q.register_forward_hook(
            lambda *_, path=path: computed.append(path)
        )
        for path in attention_paths(unet)
    ]
    inputs.theirs(unet)
    for hook in hooks:
        hook.remove()
    paths = attention_paths(unet)
    assert sorted(computed) == sorted(paths)
    assert computed != paths
    moved = {2 * paths.index(path) + 1: graph.adapter[2 * k + 1] for k, path in enumerate(computed)}
    fitting = {
        index: layer if layer[0].shape == graph.adapter[index][0].shape else graph.adapter[index]
        for index, layer in moved.items()
    }
    use = UnetUse(inputs.tokens, 0.8)
    ours = inputs.ours(graph, UnetPerson(use))
    set_pulid(unet, fitting, inputs.tokens, 0.8, use.projection, use.zeros)
    assert relative(inputs.theirs(unet) - nobody, ours - nobody) > 0.1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers with NumPy 2
def test_four_steps_of_v1(
    library: Callable[[str], ModuleType], unet: Any, graph: UnetGraph, inputs: Inputs
) -> None:
    """The official scheduler with diffusers' UNet, and the definitions of both."""
    use = UnetUse(inputs.tokens, 0.8)
    set_pulid(unet, graph.adapter, inputs.tokens, 0.8, use.projection, use.zeros)
    scheduler = library("diffusers").DPMSolverMultistepScheduler(
        beta_start=BETA_FIRST, beta_end=BETA_LAST, beta_schedule="scaled_linear",
        timestep_spacing="trailing", final_sigmas_type="sigma_min",
    )  # fmt: skip
    scheduler.set_timesteps(4)
    latent = inputs.x
    for timestep in scheduler.timesteps:
        noise = predicted_noise(
            unet, latent, float(timestep), inputs.context, inputs.pooled, SIZES_PX
        )
        stepped = scheduler.step(torch.from_numpy(noise), timestep, torch.from_numpy(latent))
        latent = stepped.prev_sample.numpy()

    def epsilon(x: np.ndarray, timestep: float) -> np.ndarray:
        y = size_vector(inputs.pooled, *SIZES_PX)
        return graph.noise(x, timestep, inputs.context, y, [UnetPerson(use)])

    levels = lightning(4).sigmas
    start = inputs.x * np.sqrt(levels[0] ** 2 + 1)
    made = dpmpp_2m(denoiser(epsilon), start, levels, ends_first_order=True)
    # diffusers scales latents to a variance of 1, and has its levels in float32.
    assert relative(latent, made / np.sqrt(levels[-1] ** 2 + 1)) < 10 * TOLERANCE
