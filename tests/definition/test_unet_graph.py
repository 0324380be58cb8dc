"""The definition of SDXL's UNet with PuLID: what it depends on, and how far roundings move it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from definition.unet_graph import (
    LayerFormula,
    UnetGraph,
    UnetPerson,
    cross_attentions,
    size_vector,
    time_embedding,
)
from definition.unet_mistakes import MISTAKEN_FORMULAS, in_order_of_computation, swapped
from definition.unet_pulid import UnetUse
from standin import UnetShape, make_sdxl_standin_weights
from standin.unet import attention_modules, unet_tensors

torch.set_num_threads(1)
ROUNDED = 1.5e-3
"""What the engine's float16 inputs and its GELU may cost one evaluation, relative."""
ROUNDED_PERSON = 7e-3
"""The same of what a person changes: the roundings of two evaluations, which have little in common,
relative to an effect that is a fifth of an evaluation."""
FLASH = 2
"""How much more they may be with flash attention."""
ENGINE = 1e-4
"""What the engine may differ by from the definition that rounds as it does, relative."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("standin")
    return make_sdxl_standin_weights(folder, depths=(1, 2), unet_types=("f32",))


@pytest.fixture(scope="module")
def inputs() -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    y = size_vector(random.normal(size=1280), 64, 96)
    return random.normal(size=(4, 12, 8)), 640.5, random.normal(size=(20, 2048)), y


Inputs = tuple[np.ndarray, float, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def graph(files: dict[str, Path]) -> UnetGraph:
    return UnetGraph(files["unet-f32"], files["pulid-v1.1"])


def person(number: int, weight: float = 0.8, zeros: int = 20, n: int = 32) -> UnetPerson:
    tokens = np.random.default_rng(number).normal(size=(n, 64))
    return UnetPerson(UnetUse(tokens, weight, "ortho_v2", zeros))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    print(f"relative difference {difference:.1e}")
    return difference


def test_layers_are_those_of_the_published_table() -> None:
    shape = UnetShape(320, (2, 10))
    names = [spec.name for spec in unet_tensors(shape, 0)]
    assert cross_attentions(names) == [module for _, module, _ in attention_modules(shape)]


def test_noise_is_mostly_the_input_and_depends_on_everything(
    graph: UnetGraph, inputs: Inputs
) -> None:
    x, timestep, context, y = inputs
    base = graph.noise(*inputs)
    assert base.shape == x.shape
    assert 0.5 < base.std() < 2
    assert np.corrcoef(base.ravel(), x.ravel())[0, 1] > 0.5
    assert relative(graph.noise(x, timestep - 200, context, y), base) > 0.02
    assert relative(graph.noise(x, timestep, context[::-1] * 2, y), base) > 0.1
    assert relative(graph.noise(x, timestep, context, y[::-1].copy()), base) > 0.1
    # Attention has no order of the text tokens.
    assert relative(graph.noise(x, timestep, context[::-1], y), base) < 1e-12


def test_person_changes_the_noise_plainly_and_not_without_weight(
    graph: UnetGraph, inputs: Inputs
) -> None:
    base = graph.noise(*inputs)
    with_alice = graph.noise(*inputs, [person(1)])
    assert relative(with_alice, base) > 0.1
    assert relative(graph.noise(*inputs, [person(2)]), with_alice) > 0.1
    assert np.array_equal(graph.noise(*inputs, [person(1, weight=0.0)]), base)
    both = graph.noise(*inputs, [person(1), person(2)])
    assert relative(graph.noise(*inputs, [person(2), person(1)]), both) < 1e-12


def test_region_of_everywhere_is_none_and_of_nowhere_nobody(
    graph: UnetGraph, inputs: Inputs
) -> None:
    tokens_of_levels = (6 * 4, 3 * 2)

    def in_region(share: float) -> np.ndarray:
        regions = {n: np.full(n, share) for n in tokens_of_levels}
        return graph.noise(*inputs, [UnetPerson(person(1).use, regions)])

    assert relative(in_region(1.0), graph.noise(*inputs, [person(1)])) < 1e-12
    assert np.array_equal(in_region(0.0), graph.noise(*inputs))


def test_renamed_weights_are_read_too(files: dict[str, Path], inputs: Inputs) -> None:
    graph = UnetGraph(files["unet-f32"], files["pulid-v1"])
    assert set(graph.adapter) == set(graph.layers.values())
    assert relative(graph.noise(*inputs, [person(1, n=10)]), graph.noise(*inputs)) > 0.1
    with pytest.raises(ValueError, match="layers needed"):
        UnetGraph(files["unet-f32"]).noise(*inputs, [person(1)])


def test_angles_in_float32_are_off_by_half_a_unit_in_the_last_place() -> None:
    exact, rounded = (time_embedding(999.0, 64, in_f32=in_f32) for in_f32 in (False, True))
    difference = float((exact - rounded).abs().max())
    assert 0 < difference < 999 * 2**-23


@pytest.mark.parametrize(
    ("options", "more"),
    [({"f16_identities": False}, 1), ({}, 1), ({"flash_attention": True}, FLASH)],
    ids=["f32", "f16", "flash attention"],
)
def test_engine_roundings_cost_what_was_computed_for_them(
    files: dict[str, Path],
    graph: UnetGraph,
    inputs: Inputs,
    options: dict[str, bool],
    more: int,
) -> None:
    engine = UnetGraph(files["unet-f32"], files["pulid-v1.1"], as_engine=True, **options)
    nobody, nobody_rounded = graph.noise(*inputs), engine.noise(*inputs)
    assert 1e-4 < relative(nobody_rounded, nobody) < more * ROUNDED
    alice, alice_rounded = (which.noise(*inputs, [person(1)]) for which in (graph, engine))
    assert relative(alice_rounded, alice) < more * ROUNDED
    assert relative(alice_rounded - nobody_rounded, alice - nobody) < more * ROUNDED_PERSON


@pytest.mark.parametrize("name", [*MISTAKEN_FORMULAS, "swapped", "order of computation"])
def test_mistakes_are_far_outside_of_the_tolerance(
    files: dict[str, Path], graph: UnetGraph, inputs: Inputs, name: str
) -> None:
    people = [person(1), person(2, weight=0.5)]
    formula: LayerFormula | None = MISTAKEN_FORMULAS.get(name)
    mistaken = UnetGraph(files["unet-f32"], files["pulid-v1.1"], layer_formula=formula)
    if name == "swapped":
        swapped(mistaken)
    elif formula is None:
        in_order_of_computation(mistaken)
    expected = graph.noise(*inputs, people)
    assert relative(mistaken.noise(*inputs, people), expected) > 10 * ENGINE
